/**
 * Embedding batches over all nodes that hold the model. A batch is cut (`embed-plan.ts`) into more shards than nodes, so that
 * admission deals them out as nodes become free: a node twice as fast takes twice as many. Of a large batch only some are under
 * way at once, so that it never fills the line of its model. Items that occur twice are computed once. A shard that is late while
 * others are done is sent a second time elsewhere, and the first answer counts; so a hung node costs no item. Order and shape of
 * the answer are those of a single node.
 *
 * A `keep_alive` of 0 is taken out of the shards, since a node would unload the model between two of them: once the batch is
 * over the nodes that worked on it let go of the model.
 *
 * Safe because embeddings of one digest are equal to the byte whatever batch they come in (ollama-contract-verified.md §j).
 */
import { CallSignal } from '../base/abort.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { type Call, newProgress } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Provenance, Relay, WholeAnswer } from '../core/relay.ts'
import { type EmbeddingPart, joinEmbeddings, readEmbeddingPart } from '../wire/embeddings.ts'
import { unloads } from '../wire/keep-alive.ts'
import { withField } from '../wire/with-field.ts'
import { type EmbedPlan, planBatch, shardsPerNode, VectorSizes } from './embed-plan.ts'
import type { FleetOptions } from './options.ts'
import type { Pool, PoolTable } from './pool.ts'
import type { Waiter } from './waiting-line.ts'
import { outrun } from './settle.ts'

export interface EmbedSplitDeps {
  readonly one: Relay
  readonly pools: PoolTable<Waiter>
  readonly options: () => FleetOptions
  readonly clock: Clock
  /** A shard was sent a second time: because it was late, or by the hedging option. */
  readonly onResend: (node: string | null, reason: 'straggler' | 'hedge') => void
  /** Has nodes, by name, let go of a model. */
  readonly letGo: (model: string, nodes: ReadonlySet<string>) => void
}

/** A shard is late after this many times the median time of those that are done: a hung node then costs a third of a batch. */
const lateFactor = 1.8
const lateMsMin = 100
const checkEveryMs = 25
/** Bytes of the joined answer, which is held in memory and put together as one text: half of the longest that V8 has. */
const joinedBytesMax = 268_435_456

/** The relay for `/api/embed` and `/v1/embeddings`. */
export function createEmbedSplit(deps: EmbedSplitDeps): Relay {
  const sizes = new VectorSizes()
  return (request, call) => {
    const { embed, wholeBytesMax, admission } = deps.options()
    if (!embed.split) return deps.one(request, call)
    const nodes = countNodes(deps.pools.get(request.model, call.principal.nodeGroup))
    const shardItemsMax = sizes.itemsMax(request, wholeBytesMax)
    const plan = planBatch(request, { nodes, shardItemsMin: embed.shardItemsMin, shardItemsMax })
    if (plan === null) return deps.one(request, call)
    return new Batch({ ...deps, sizes, canResend: nodes > 1, shardsMax: shardsMax(nodes, admission.queueMax) }, request, call, plan).run()
  }
}

/** Shards of a batch that are under way at once. None is on a node while the model is loaded: half of the line is left to others even then. */
function shardsMax(nodes: number, queueMax: number): number {
  return Math.max(1, Math.min(Math.max(1, nodes) * shardsPerNode, Math.ceil(queueMax / 2)))
}

function countNodes(pool: Pool<Waiter>): number {
  return pool.runners.filter(({ bounded, fleetNode }) => bounded && fleetNode.up !== false && !fleetNode.draining).length
}

interface BatchDeps extends EmbedSplitDeps {
  readonly sizes: VectorSizes
  /** Whether there is a second node. */
  readonly canResend: boolean
  /** Shards under way at once, second copies beside them; at least 1. */
  readonly shardsMax: number
}

interface Copy {
  readonly call: Call
  /** Another copy was sent because this one was late. */
  late: boolean
}

interface Shard {
  readonly request: InferenceRequest
  readonly items: number
  readonly copies: Copy[]
  part: EmbeddingPart | null
  failures: number
}

class Batch {
  readonly #deps: BatchDeps
  readonly #request: InferenceRequest
  readonly #call: Call
  readonly #plan: EmbedPlan
  readonly #shards: Shard[]
  readonly #durationsMs: number[] = []
  readonly #startedAtMs: number
  /** Shards whose answer is not there yet. */
  #open: number
  #sent = 0
  /** Of the answers so far, and the items that they hold. */
  #bytes = 0
  #items = 0
  #timer: Timer | null = null
  #provenance: Provenance | null = null
  #headers: Answer['headers'] = {}
  #finish: { resolve(answer: Answer): void; reject(error: unknown): void } | null = null

  constructor(deps: BatchDeps, request: InferenceRequest, call: Call, plan: EmbedPlan) {
    this.#deps = deps
    this.#request = request
    this.#call = call
    this.#plan = plan
    this.#startedAtMs = deps.clock.nowMs()
    const base = plan.shards.length > 1 && unloads(request) ? withField(request, 'keep_alive', 'null') : request
    this.#shards = plan.shards.map(({ inputJson, items }) => ({
      request: withField(base, 'input', inputJson),
      items,
      copies: [],
      part: null,
      failures: 0,
    }))
    this.#open = this.#shards.length
  }

  run(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#finish = { resolve, reject }
      for (let count = 0; count < this.#deps.shardsMax; count += 1) this.#sendNext()
      // Last: a client that is gone already ends what was just begun.
      this.#call.signal.on(this.#onAbort)
      this.#watch()
    })
  }

  readonly #onAbort = (reason: unknown): void => {
    for (const shard of this.#shards) for (const { call } of shard.copies) call.signal.abort(reason)
  }

  /** Sends the first shard that was not yet, if there is one. */
  #sendNext(): void {
    const shard = this.#shards[this.#sent]
    if (shard === undefined) return
    this.#sent += 1
    this.#send(shard, [])
  }

  #send(shard: Shard, avoid: readonly string[]): void {
    const call = shardCall(this.#call)
    shard.copies.push({ call, late: false })
    this.#deps.one({ ...shard.request, avoid }, call).then(
      (answer) => this.#onAnswer(shard, answer, call),
      (error: unknown) => {
        this.#noteRoute(call)
        this.#onError(shard, error)
      },
    )
  }

  #onAnswer(shard: Shard, answer: Answer, call: Call): void {
    if (this.#finish === null || shard.part !== null || answer.kind !== 'whole') return
    this.#noteRoute(call)
    if (answer.status !== 200) {
      shard.failures += 1
      // A node's failure matters only when no other node works on these items.
      if (answer.status < 500 || shard.failures === shard.copies.length) this.#settle(answer)
      return
    }
    const part = readEmbeddingPart(this.#request.route, answer.body)
    if (part === null || part.vectors.length !== shard.items) {
      const node = answer.provenance.node ?? 'a node'
      this.#onError(shard, new CorralError('node_protocol', `${node} did not answer one vector for each of ${shard.items} texts`))
      return
    }
    this.#deps.sizes.note(shard.request, { bytes: answer.body.length, vectors: shard.items })
    this.#bytes += answer.body.length
    this.#items += shard.items
    // Items that occur often are computed once, but stand in the answer each time.
    if ((this.#bytes / this.#items) * this.#plan.places.length > joinedBytesMax) {
      this.#reject(new CorralError('answer_too_large', `the answer to the whole batch is over ${joinedBytesMax} bytes`))
      return
    }
    shard.part = part
    this.#provenance = answer.provenance
    this.#headers = answer.headers
    this.#durationsMs.push(this.#deps.clock.nowMs() - answer.provenance.dispatchedAtMs)
    for (const copy of shard.copies) if (copy.call !== call) copy.call.signal.abort(copy.late ? outrun : 'answered elsewhere')
    this.#open -= 1
    if (this.#open === 0) {
      this.#settle(this.#join())
      return
    }
    this.#sendNext()
    // The answer may have been on its way here when the client left.
    if (this.#call.signal.aborted) this.#onAbort(this.#call.signal.reason)
  }

  /** Whatever becomes of the batch, this was asked last. */
  #noteRoute({ progress: { node } }: Call): void {
    if (node === null) return
    const { progress } = this.#call
    progress.node = node
    progress.routeReason = 'split'
    progress.attempts = this.#attempts
  }

  get #attempts(): number {
    return this.#shards.reduce((sum, { copies }) => sum + copies.length, 0)
  }

  #onError(shard: Shard, error: unknown): void {
    shard.failures += 1
    if (this.#finish === null || shard.part !== null || shard.failures < shard.copies.length) return
    this.#reject(error)
  }

  #reject(error: unknown): void {
    const reject = this.#finish?.reject
    this.#close('a shard failed')
    reject?.(error)
  }

  /** Ends the batch with an answer; what is still under way is dropped. */
  #settle(answer: Answer): void {
    const resolve = this.#finish?.resolve
    this.#close('the batch is settled')
    resolve?.(answer)
  }

  #close(reason: string): void {
    this.#finish = null
    this.#timer?.cancel()
    this.#call.signal.off(this.#onAbort)
    for (const shard of this.#shards) {
      if (shard.part === null) for (const { call } of shard.copies) call.signal.abort(reason)
    }
    this.#letGo()
  }

  #letGo(): void {
    const { model } = this.#request
    if (model === null || !unloads(this.#request) || this.#shards.length === 1) return
    const nodes = this.#shards.flatMap(({ copies }) => copies.map(({ call }) => call.progress.node)).filter((node) => node !== null)
    this.#deps.letGo(model, new Set(nodes))
  }

  #watch(): void {
    this.#timer = this.#deps.clock.after(checkEveryMs, () => {
      if (this.#finish === null) return
      this.#resendLate()
      this.#watch()
    })
  }

  /** Sends a second copy of each late shard; at most one, and only while it is under way on a node. */
  #resendLate(): void {
    if (!this.#deps.canResend) return
    const nowMs = this.#deps.clock.nowMs()
    const { hedge, hedgeAfterMs } = this.#deps.options().embed
    const lateMs = this.#lateAfterMs()
    for (const shard of this.#shards) {
      const [copy] = shard.copies
      if (shard.part !== null || shard.copies.length !== 1 || copy === undefined) continue
      const first = copy.call.progress
      if (first.phase !== 'waiting' || first.node === null) continue
      const sinceMs = nowMs - (first.dispatchedAtMs ?? nowMs)
      const reason = sinceMs > lateMs ? 'straggler' : hedge && sinceMs > hedgeAfterMs ? 'hedge' : null
      if (reason === null) continue
      copy.late = reason === 'straggler'
      this.#deps.onResend(first.node, reason)
      this.#send(shard, [first.node])
    }
  }

  #lateAfterMs(): number {
    const done = this.#durationsMs.toSorted((a, b) => a - b)
    const median = done[Math.floor(done.length / 2)]
    return median === undefined ? Infinity : Math.max(lateMsMin, lateFactor * median)
  }

  #join(): WholeAnswer {
    const unique: string[] = []
    let promptTokens = 0
    let loadNs = 0
    let model = '""'
    for (const { part } of this.#shards) {
      if (part === null) continue
      for (const vector of part.vectors) unique.push(vector)
      promptTokens += part.promptTokens
      loadNs = Math.max(loadNs, part.loadNs)
      model = part.model
    }
    const vectors = this.#plan.places.map((place) => unique[place] ?? '[]')
    const totalMs = this.#deps.clock.nowMs() - this.#startedAtMs
    const totals = { model, promptTokens, loadNs, totalNs: Math.round(totalMs * 1e6) }
    const body = joinEmbeddings(this.#request.route, vectors, totals)
    return {
      kind: 'whole',
      status: 200,
      headers: this.#headers,
      provenance: { node: this.#provenance?.node ?? null, reason: 'split', attempts: this.#attempts, dispatchedAtMs: this.#startedAtMs },
      body,
      outcome: splitOutcome(body.length, promptTokens, { loadMs: loadNs / 1e6, totalMs }),
    }
  }
}

function splitOutcome(bytes: number, promptTokens: number, times: { loadMs: number; totalMs: number }): Outcome {
  const unknown = { cachedPromptTokens: null, outputTokens: null, promptMs: null, outputMs: null }
  return { kind: 'ok', usage: { promptTokens, ...unknown, ...times }, frames: 0, bytes, error: null }
}

/** A call of its own, so that a shard can be dropped alone; batches wait behind single requests. */
function shardCall(call: Call): Call {
  return { ...call, priority: 'batch', signal: new CallSignal(), progress: newProgress() }
}
