/**
 * One request whose vectors are not all in memory: waits for the works of others that get some of its texts, begins one for the
 * rest, and puts the answer together. A failure concerns who began the work; others who waited for it ask again by themselves.
 * A client that leaves, or whose deadline passes, leaves alone.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, WholeAnswer } from '../core/relay.ts'
import type { EmbedAsker } from './embedding-asker.ts'
import { canTell, dimensionsOf } from './embedding-entry.ts'
import type { Reply } from './embedding-reply.ts'
import type { EmbedItem } from './embedding-request.ts'
import type { EmbedWork, Got, WorkEnd } from './embedding-work.ts'

/** The works under way. */
export interface EmbedWorks {
  /** Who is getting this text. */
  of(key: string): EmbedWork | undefined
  /** `shared`: others may wait for its texts. `looks`: in the slower layers first. */
  start(asker: EmbedAsker, items: readonly EmbedItem[], how: { readonly shared: boolean; readonly looks: boolean }): EmbedWork
}

export interface EmbedBatchDeps {
  readonly works: EmbedWorks
  readonly clock: Clock
  readonly reply: Reply
}

/** The fleet gives up at the deadline by itself, with a better error; this only guards. */
const deadlineSlackMs = 50

export class EmbedBatch {
  readonly #deps: EmbedBatchDeps
  readonly #asker: EmbedAsker
  readonly #got: Map<string, Got>
  /** What upstream answered on behalf of this request. */
  readonly #answers: WholeAnswer[] = []
  /** What it answered on behalf of those who left, so that it is booked on this one. */
  readonly #inherited: WholeAnswer[] = []
  readonly #joined = new Set<EmbedWork>()

  /** `got`: what memory had. */
  constructor(deps: EmbedBatchDeps, asker: EmbedAsker, got: Map<string, Got>) {
    this.#deps = deps
    this.#asker = asker
    this.#got = got
  }

  /** Gets `missing` and answers. */
  async gather(missing: readonly EmbedItem[]): Promise<Answer> {
    const { directives, options } = this.#asker
    const { noCache, maxAgeSeconds, minFreshSeconds } = directives
    const mayJoin = options.layers.flight && !noCache && maxAgeSeconds === null && minFreshSeconds === null
    const others = new Set<EmbedWork>()
    const ours = missing.filter(({ key }) => {
      const work = mayJoin ? this.#deps.works.of(key) : undefined
      if (work !== undefined) others.add(work)
      return work === undefined
    })
    const leaving = new Leaving(this.#deps.clock, this.#asker.call)
    try {
      const own = ours.length === 0 ? null : this.#begin(ours, { shared: mayJoin, looks: !noCache })
      for (const work of others) this.#join(work)
      const answer = own === null ? null : this.#take(await leaving.or(own.settled))
      if (answer !== null) return this.#deps.reply.forwarded(this.#asker, answer)
      for (const work of others) {
        const theirs = this.#takeShared(work, await leaving.or(work.settled))
        if (theirs !== null) return this.#deps.reply.forwarded(this.#asker, theirs)
      }
      return await this.#complete(missing, leaving)
    } finally {
      leaving.end()
      for (const work of this.#joined) work.leave(this.#asker.call)
    }
  }

  #begin(items: readonly EmbedItem[], how: { readonly shared: boolean; readonly looks: boolean }): EmbedWork {
    return this.#join(this.#deps.works.start(this.#asker, items, how))
  }

  #join(work: EmbedWork): EmbedWork {
    work.join(this.#asker.call)
    this.#joined.add(work)
    return work
  }

  /** Asks once more for what others failed to get, and answers. */
  async #complete(missing: readonly EmbedItem[], leaving: Leaving): Promise<Answer> {
    const { reply } = this.#deps
    const left = missing.filter(({ key }) => !this.#got.has(key))
    const answer = left.length === 0 ? null : this.#take(await leaving.or(this.#begin(left, { shared: true, looks: false }).settled))
    if (answer !== null) return reply.forwarded(this.#asker, answer)
    if (!this.#isUniform()) return reply.forwarded(this.#asker, await this.#asker.next(this.#asker.request, this.#asker.call))
    const [first, ...more] = [...this.#inherited, ...this.#answers]
    if (first !== undefined && this.#answers.length > 0) return reply.partial(this.#asker, this.#got, [first, ...more])
    const isStored = [...this.#got.values()].every(({ stored }) => stored !== null)
    return isStored ? reply.hit(this.#asker, this.#got) : reply.joined(this.#asker, this.#got, this.#inherited)
  }

  /** Takes over the vectors of a work of our own; a node's answer that is the answer to the whole request, if there is one. */
  #take(end: WorkEnd): Answer | null {
    if (end.kind === 'error') throw end.thrown
    if (end.kind === 'answer') return end.answer
    for (const [key, one] of end.got) this.#got.set(key, one)
    if (end.answer !== null) this.#answers.push(end.answer)
    return end.isWhole ? end.answer : null
  }

  /** Takes over the vectors of another's work, in our own form; or its failure, where it asked for nothing that we do not ask for. */
  #takeShared(work: EmbedWork, end: WorkEnd): Answer | null {
    if (end.kind !== 'vectors') return this.#isOurs(work) ? this.#takeFailure(end) : null
    if (end.answer !== null && work.payer === this.#asker.call) this.#inherited.push(end.answer)
    const { items, form } = this.#asker.ask
    for (const { key } of items) {
      const one = this.#got.has(key) ? undefined : end.got.get(key)
      if (one === undefined) continue
      const { vector } = one
      if (work.form === form) this.#got.set(key, one)
      else if (vector.entry !== null && canTell(vector.entry, form)) this.#got.set(key, { ...one, vector: { ...vector, text: null } })
    }
    return null
  }

  #takeFailure(end: Exclude<WorkEnd, { readonly kind: 'vectors' }>): Answer | null {
    if (end.kind === 'answer') return end.answer
    const code = end.thrown instanceof CorralError ? end.thrown.code : null
    // These are about who began the work.
    if (code === 'client_gone' || code === 'queue_timeout') return null
    throw end.thrown
  }

  #isOurs({ route, items }: EmbedWork): boolean {
    const keys = new Set(this.#asker.ask.items.map(({ key }) => key))
    return route.pattern === this.#asker.request.route.pattern && items.every(({ key }) => keys.has(key))
  }

  /** Vectors of one model have one length; if not, a node has to say what is right. */
  #isUniform(): boolean {
    const lengths = new Set<number>()
    for (const { vector } of this.#got.values()) if (vector.entry !== null) lengths.add(dimensionsOf(vector.entry))
    return lengths.size < 2
  }
}

/** The end of a client's patience: it left, or its deadline passed. */
class Leaving {
  readonly #call: Call
  readonly #gone = Promise.withResolvers<never>()
  readonly #timer: Timer | null

  constructor(clock: Clock, call: Call) {
    this.#call = call
    // Not waited for when everything is there at once.
    this.#gone.promise.catch(() => undefined)
    call.signal.on(this.#onAbort)
    const { deadlineAtMs } = call
    const delayMs = Math.max(0, deadlineAtMs - clock.nowMs()) + deadlineSlackMs
    this.#timer = deadlineAtMs === Number.POSITIVE_INFINITY ? null : clock.after(delayMs, this.#onDeadline)
  }

  readonly #onAbort = (): void => this.#gone.reject(new CorralError('client_gone', 'the client left before its embeddings came'))

  readonly #onDeadline = (): void =>
    this.#gone.reject(new CorralError('queue_timeout', 'the embeddings did not come before this request’s deadline'))

  /** What `promise` gives, unless the client leaves before. */
  or<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#gone.promise])
  }

  end(): void {
    this.#call.signal.off(this.#onAbort)
    this.#timer?.cancel()
  }
}
