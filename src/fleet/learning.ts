/**
 * What a node tells about itself with every answer: slots, load time, prefill and decode rates per (node, model), and which
 * conversations its prefix cache probably still holds. No agent on the node.
 *
 * Slots: an answer's `total − load − prompt_eval − eval` is exactly its wait for a slot (ollama-contract-verified.md §h).
 * Waits while k requests were under way mean fewer than k slots, when some come in a row; no wait means at least k. Until
 * waits are believed the estimate doubles. Streams that run at the same time are a lower bound, until several waits contradict it: the node was
 * restarted with fewer slots, or two streams only seemed to overlap.
 */
import type { Usage } from '../core/relay.ts'

/** Read at each use: `slotsAssumed` and `slotsMax` may change while answers are under way. */
export interface SlotOptions {
  /** The operator's number; learning is off then. */
  readonly slotsConfigured: number | null
  readonly slotsAssumed: number
  readonly slotsMax: number
}

export interface Observation {
  readonly nowMs: number
  /** Requests of this model under way on the node when this one was sent, itself included. */
  readonly inFlightAtDispatch: number
  readonly durationMs: number
  /** Size of the prompt as it was estimated before it was sent. Counts where the node reports none, or counts less. */
  readonly promptTokensEstimated?: number
}

/** Load time assumed for a model never loaded here (gateway-peers.md §5.2: a 7B model takes 3–10 s). */
const loadMsAssumed = 5_000
/** Weight of a new observation in a moving mean. */
const alpha = 0.2
/** A wait shorter than one of these is scheduling noise: milliseconds, and share of the whole. */
const waitMsNoise = 20
const waitShareNoise = 0.1
/**
 * A wait longer than both is a wait for a slot, which takes a good part of somebody else's answer. What lies between is a busy
 * machine and teaches nothing: believed, it would take one slot after the other from a node that has them.
 */
const waitMsCertain = 40
const waitShareCertain = 0.25
/** A slot estimate below what was refused may be tried again after this long: nodes are restarted with other settings. */
const relearnMs = 120_000
/** Waits in a row that are believed where nothing was learned yet: one alone may be a node's hiccup, and equal nodes would drift apart. */
const waitsBelieved = 3
/** Waits below the proven number of slots until it is given up. */
const contradictionsMax = 3
/** Answers that a node must have given before its figures count. */
const samplesMin = 3
/** Prompts below this many tokens say nothing of the prefill rate. */
const promptTokensMin = 16
/** Observed prefill faster than this share of the mean means that most of the prompt was cached (verified notes §l). */
const cachedShare = 0.25

function blend(mean: number | null, value: number): number {
  return mean === null ? value : mean + alpha * (value - mean)
}

export class ModelStats {
  readonly #options: SlotOptions
  /** What answers moved the estimate to; null before one did. */
  #estimate: number | null = null
  /** Lowest number of requests under way at which one had to wait; `Infinity` before. */
  #refusedAt = Infinity
  #refusedAtMs = -Infinity
  /** Slots that the last waits showed. */
  #learnedSlots = 0
  #waitsInRow = 0
  /** Lowest number of requests under way among the waits in a row. */
  #waitedAt = Infinity
  /** Most answers seen streaming at once. */
  #proven = 1
  #contradictions = 0
  slotsLearned = false
  samples = 0
  /** Largest prompt answered, estimated or reported, whichever is more. */
  promptTokensMax = 0
  requestMs: number | null = null
  prefillMsPerToken: number | null = null
  decodeMsPerToken: number | null = null
  /** 0 until a load was seen. */
  loadMsLearned = 0

  constructor(options: SlotOptions) {
    this.#options = options
  }

  /** Whether the slots were said by the configuration or an operator: nothing is learned then. */
  get slotsConfigured(): boolean {
    return this.#options.slotsConfigured !== null
  }

  /** Whether enough answers came to tell how long others will take. */
  get known(): boolean {
    return this.samples >= samplesMin
  }

  /** Generations at once. */
  get slots(): number {
    const { slotsConfigured, slotsAssumed, slotsMax } = this.#options
    return slotsConfigured ?? Math.min(this.#estimate ?? slotsAssumed, slotsMax)
  }

  /** Milliseconds that a load takes here: learned, or an assumption. */
  get loadMs(): number {
    return this.loadMsLearned === 0 ? loadMsAssumed : this.loadMsLearned
  }

  /** Learns from a complete answer. `usage` is null where the route reports none. */
  observe(usage: Usage | null, observation: Observation): void {
    this.samples += 1
    this.requestMs = blend(this.requestMs, observation.durationMs)
    this.promptTokensMax = Math.max(this.promptTokensMax, observation.promptTokensEstimated ?? 0, usage?.promptTokens ?? 0)
    if (usage === null) return
    this.#observeRates(usage)
    this.#observeWait(usage, observation)
  }

  #observeRates({ promptTokens, promptMs, outputTokens, outputMs }: Usage): void {
    if (promptTokens !== null && promptMs !== null && promptTokens >= promptTokensMin && promptMs > 0) {
      const perToken = promptMs / promptTokens
      const cached = this.prefillMsPerToken !== null && perToken < this.prefillMsPerToken * cachedShare
      if (!cached) this.prefillMsPerToken = blend(this.prefillMsPerToken, perToken)
    }
    if (outputTokens !== null && outputMs !== null && outputTokens > 1 && outputMs > 0) {
      this.decodeMsPerToken = blend(this.decodeMsPerToken, outputMs / outputTokens)
    }
  }

  #observeWait({ totalMs, loadMs, promptMs, outputMs }: Usage, { nowMs, inFlightAtDispatch }: Observation): void {
    if (totalMs === null || promptMs === null || outputMs === null || this.slotsConfigured) return
    const waitMs = totalMs - (loadMs ?? 0) - promptMs - outputMs
    if (waitMs > waitMsCertain && waitMs > waitShareCertain * totalMs) {
      this.#noteWait(inFlightAtDispatch, nowMs)
      return
    }
    if (waitMs > waitMsNoise && waitMs > waitShareNoise * totalMs) return
    if (inFlightAtDispatch >= this.#waitedAt) this.#forgetWaits()
    if (inFlightAtDispatch >= this.slots) this.#grow(nowMs)
  }

  #noteWait(inFlight: number, nowMs: number): void {
    if (inFlight < 2) return
    this.#waitsInRow += 1
    this.#waitedAt = Math.min(this.#waitedAt, inFlight)
    const confirms = this.slotsLearned && inFlight > this.#learnedSlots
    if (this.#waitsInRow < waitsBelieved && !confirms) return
    this.#refuse(this.#waitedAt, nowMs)
    this.#forgetWaits()
  }

  #forgetWaits(): void {
    this.#waitsInRow = 0
    this.#waitedAt = Infinity
  }

  /** With `inFlight` requests under way some had to wait: there are fewer slots than that. */
  #refuse(inFlight: number, nowMs: number): void {
    this.slotsLearned = true
    this.#learnedSlots = inFlight - 1
    this.#refusedAtMs = nowMs
    this.#refusedAt = Math.min(this.#refusedAt, inFlight)
    if (inFlight <= this.#proven) this.#contradict()
    this.#estimate = Math.max(this.#proven, 1, Math.min(this.slots, this.#refusedAt - 1))
  }

  #contradict(): void {
    this.#contradictions += 1
    if (this.#contradictions < contradictionsMax) return
    this.#contradictions = 0
    this.#proven = this.#refusedAt - 1
  }

  /** All slots were taken and nobody waited: there may be more. */
  #grow(nowMs: number): void {
    if (nowMs - this.#refusedAtMs > relearnMs) this.#refusedAt = Infinity
    const { slots } = this
    const next = this.#refusedAt === Infinity ? slots * 2 : slots + 1
    this.#estimate = Math.max(slots, Math.min(next, this.#refusedAt - 1, this.#options.slotsMax))
  }

  /** `count` answers stream from the node at this moment: it has at least that many slots. */
  observeStreaming(count: number, nowMs: number): void {
    if (count < this.#proven || this.slotsConfigured) return
    this.#contradictions = 0
    if (count === this.#proven) return
    this.#proven = count
    if (count >= this.#refusedAt) this.#refusedAt = Infinity
    if (count >= this.slots) this.#grow(nowMs)
  }

  /** A load of the gateway's own took `durationMs`. */
  observeLoad(durationMs: number): void {
    this.loadMsLearned = blend(this.loadMsLearned === 0 ? null : this.loadMsLearned, durationMs)
  }
}

export interface Memory {
  readonly node: string
  readonly tokens: number
  readonly atMs: number
}

/** Conversations remembered, the longest unused forgotten first. */
const conversationsMax = 20_000
/** A node keeps evicted prompts in host memory (8 GiB by default), so affinity pays for long (verified notes §l). */
const affinityMs = 30 * 60_000

/** Which node answered a conversation last, and how many of its tokens it then held. */
export class Affinity {
  readonly #memories = new Map<string, Memory>()
  /** Monotonic ms at which a node lost its caches, by node name. */
  readonly #lostAtMs = new Map<string, number>()

  /** The node that answered the conversation last, with the tokens it probably still has in its prefix cache; null: none. */
  find(key: string, nowMs: number): Memory | null {
    const memory = this.#memories.get(key)
    if (memory === undefined || nowMs - memory.atMs >= affinityMs) return null
    return memory.atMs > (this.#lostAtMs.get(memory.node) ?? -Infinity) ? memory : null
  }

  /** The node went down or is another one now: its prefix cache is gone. */
  forget(node: string, nowMs: number): void {
    this.#lostAtMs.set(node, nowMs)
  }

  note(key: string, { node, tokens, nowMs }: { node: string; tokens: number; nowMs: number }): void {
    this.#memories.delete(key)
    this.#memories.set(key, { node, tokens, atMs: nowMs })
    if (this.#memories.size <= conversationsMax) return
    const oldest = this.#memories.keys().next()
    if (oldest.done !== true) this.#memories.delete(oldest.value)
  }
}
