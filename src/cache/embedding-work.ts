/**
 * The texts of one batch that nobody else was getting: looked up in the slower layers, and what is nowhere asked from upstream in
 * one request, by one of all replicas that miss the same texts. Other batches wait for single texts of it. The work owns its upstream
 * call: whoever began it may leave, and only the last one leaving aborts it. What the node did is booked on one request alone: the first comer among those who stayed,
 * or the last who left when nobody did.
 *
 * Settles once and never rejects; vectors are in memory before anybody is told, but for those of batches that an ingest or another
 * request of priority `batch` began.
 */
import { hash } from 'node:crypto'

import { CallSignal } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Relay, WholeAnswer } from '../core/relay.ts'
import { withField } from '../wire/with-field.ts'
import { readVectors, type Vector } from './embedding-answer.ts'
import { canTell, isIntactVector, tokensOf } from './embedding-entry.ts'
import type { EmbedAsk, EmbedItem } from './embedding-request.ts'
import type { EntryStore, Found } from './entry-store.ts'
import type { MemoryItem } from './memory-layer.ts'
import type { FlightLease } from './second-layer.ts'
import { SharedProgress } from './shared-progress.ts'
import type { Tags } from './tags.ts'
import { TurnInLine } from './turn.ts'

/** A vector and where it came from; `item` and `layer` of one that was stored. */
export interface Got {
  readonly vector: Vector
  readonly stored: { readonly item: MemoryItem; readonly layer: string } | null
}

export type WorkEnd =
  | {
      readonly kind: 'vectors'
      readonly got: ReadonlyMap<string, Got>
      /** Null: nothing had to be asked from upstream. */
      readonly answer: WholeAnswer | null
      /** Whether `answer` is one to the whole request, as it came. */
      readonly isWhole: boolean
    }
  /** The node refused; its answer is the one to the whole request, too. */
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'error'; readonly thrown: unknown }

export interface WorkDeps {
  readonly store: EntryStore
  readonly clock: Clock
  /** Null: each replica asks upstream itself. */
  readonly lease: FlightLease | null
  readonly ttlMs: number
  /** Whether entries of these tags, keyed as they are, may still be found. */
  readonly holds: () => boolean
  /** Whether an entry of a slower layer is of an age that was asked for; null: do not look. */
  readonly usable: ((item: MemoryItem) => boolean) | null
  /** Told once per upstream call, with the number of texts. */
  readonly onUpstream: (items: number) => void
}

export interface WorkAsk {
  readonly next: Relay
  readonly request: InferenceRequest
  readonly call: Call
  readonly ask: EmbedAsk
  /** Those to get, a part of `ask.items`. */
  readonly items: readonly EmbedItem[]
  readonly tags: Tags
}

export class EmbedWork {
  readonly settled: Promise<WorkEnd>
  readonly #deps: WorkDeps
  readonly #asked: WorkAsk
  readonly #signal = new CallSignal()
  readonly #progress = new SharedProgress()
  readonly #turn: TurnInLine
  /** Who waits, first comer first. */
  readonly #sharers = new Set<Call>()
  #payer: Call | null = null
  #over = false
  #disowned = false
  /** Our turn ends when the vectors are where other replicas look. */
  #stores = false
  /** There are vectors already which are not to be found any more. */
  #replaces: boolean

  constructor(deps: WorkDeps, asked: WorkAsk) {
    this.#deps = deps
    this.#asked = asked
    this.#replaces = deps.usable === null
    this.#turn = new TurnInLine({ ...deps, waitMsMax: null })
    this.#signal.on(this.#turn.end)
    this.#sharers.add(asked.call)
    this.#progress.add(asked.call.progress)
    this.settled = this.#settle()
  }

  get form(): EmbedAsk['form'] {
    return this.#asked.ask.form
  }

  get route(): InferenceRequest['route'] {
    return this.#asked.request.route
  }

  get tags(): Tags {
    return this.#asked.tags
  }

  get items(): readonly EmbedItem[] {
    return this.#asked.items
  }

  /** Whether it goes through a corpus: what it reads once is not worth the memory. */
  get #isBulk(): boolean {
    return this.#asked.call.priority === 'batch'
  }

  /** Whose use of a node the upstream answer is, once settled. */
  get payer(): Call | null {
    return this.#payer
  }

  /** Waits for it too. Who began it does already. */
  join(call: Call): void {
    this.#sharers.add(call)
  }

  leave(call: Call): void {
    this.#sharers.delete(call)
    if (!this.#over && this.#sharers.size === 0) this.#abandon(call)
    else if (!this.#over && call === this.#asked.call) call.progress.dispatchedAtMs = null
    this.#progress.remove(call.progress)
  }

  /** The last one left: the node's time until now was on its behalf. */
  #abandon(last: Call): void {
    this.#progress.add(last.progress)
    this.#signal.abort('everybody left the shared batch')
  }

  async #settle(): Promise<WorkEnd> {
    try {
      return await this.#run()
    } catch (thrown) {
      return { kind: 'error', thrown }
    } finally {
      if (!this.#stores) this.#turn.end()
      this.#over = true
      const [first = null] = this.#sharers
      this.#payer = first
    }
  }

  /** A purge meant it: who waits gets the vectors, and they are not stored. */
  disown(): void {
    this.#disowned = true
  }

  async #run(): Promise<WorkEnd> {
    const { items, ask } = this.#asked
    const got = await this.#find(items)
    const missing = items.filter(({ key }) => !got.has(key))
    if (missing.length === 0) return { kind: 'vectors', got, answer: null, isWhole: false }
    if (this.#signal.aborted) throw new CorralError('client_gone', 'everybody left the shared batch')
    this.#deps.onUpstream(missing.length)
    const request = this.#requestFor(missing)
    const answer = await this.#asked.next(request, { ...this.#asked.call, signal: this.#signal, progress: this.#progress })
    if (answer.kind !== 'whole' || answer.status !== 200 || answer.outcome.kind !== 'ok') return { kind: 'answer', answer }
    const vectors = await readVectors(request, answer.body, { items: missing, form: ask.form, dimensionsMax: ask.dimensionsMax })
    if (vectors === null) return this.#unreadable(answer, missing.length)
    this.#keep(missing, vectors, answer)
    missing.forEach(({ key }, index) => {
      const vector = vectors[index]
      if (vector !== undefined) got.set(key, { vector, stored: null })
    })
    return { kind: 'vectors', got, answer, isWhole: missing.length === ask.places.length }
  }

  /** What the slower layers have, or will when another replica has got what it gets now. */
  async #find(items: readonly EmbedItem[]): Promise<Map<string, Got>> {
    const got = await this.#lookUp(items)
    const missing = items.filter(({ key }) => !got.has(key))
    if (missing.length === 0 || this.#deps.usable === null || this.#signal.aborted) return got
    const keys = missing.map(({ key }) => key).toSorted()
    if (!(await this.#turn.take(hash('sha256', keys.join('\n'), 'hex'))) || this.#signal.aborted) return got
    for (const [key, one] of await this.#lookUp(missing)) got.set(key, one)
    return got
  }

  async #lookUp(items: readonly EmbedItem[]): Promise<Map<string, Got>> {
    const { tags, ask } = this.#asked
    const { usable, store } = this.#deps
    const got = new Map<string, Got>()
    const asked =
      usable === null
        ? null
        : store.findMany(
            items.map(({ key }) => key),
            { tags, isIntact: isIntactVector, bulk: this.#isBulk },
          )
    if (asked === null || usable === null) return got
    for (const [key, found] of await asked) {
      const isUsable = usable(found.item)
      const one = isUsable ? fromStored(found, ask.form) : null
      if (one !== null) got.set(key, one)
      if (!isUsable) this.#replaces = true
    }
    return got
  }

  /** The request as it came when all of it is missing, else with only the missing texts, each as the client wrote it. */
  #requestFor(missing: readonly EmbedItem[]): InferenceRequest {
    const { request, ask } = this.#asked
    if (missing.length === ask.places.length) return request
    return withField(request, 'input', `[${missing.map(({ json }) => json).join(',')}]`)
  }

  /** An answer of another shape than a node gives: passed on where it is one to the whole request. */
  #unreadable(answer: WholeAnswer, count: number): WorkEnd {
    if (count === this.#asked.ask.places.length) return { kind: 'answer', answer }
    const node = answer.provenance.node ?? 'a node'
    throw new CorralError('node_protocol', `${node} did not answer one vector for each of ${count} texts`)
  }

  #keep(items: readonly EmbedItem[], vectors: readonly Vector[], { provenance }: WholeAnswer): void {
    const { store, clock, ttlMs, holds } = this.#deps
    if (this.#disowned || !holds()) return
    this.#stores = true
    const entries = items.flatMap(({ key }, index) => {
      const bytes = vectors[index]?.entry ?? null
      return bytes === null ? [] : [{ key, bytes }]
    })
    const originMs = clock.nowMs() - provenance.dispatchedAtMs
    store.putMany(entries, {
      tags: this.#asked.tags,
      ttlMs,
      originMs,
      bulk: this.#isBulk,
      replaces: this.#replaces,
      onSettled: this.#turn.end,
    })
  }
}

/** A stored vector in the form that is asked for; null when it cannot be told in it. */
export function fromStored({ item, layer }: Found, form: EmbedAsk['form']): Got | null {
  if (!canTell(item.bytes, form)) return null
  return { vector: { text: null, tokens: tokensOf(item.bytes), entry: item.bytes }, stored: { item, layer } }
}
