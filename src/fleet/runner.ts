/**
 * One model on one node, as the gateway drives it: how many requests are under way, what is known of its speed, whether it
 * is in memory, and with which runner options. The gate of the scheduler wedge lives here: a request whose runner options
 * differ from those in use is never sent while the runner is busy (ollama-contract-verified.md §b).
 */
import type { CallSignal } from '../base/abort.ts'
import { type FleetNode, type LoadedModel, loadedOn, type RunnerModel } from './node.ts'
import type { ModelStats } from './learning.ts'
import type { EvictionPrice } from './policy/eviction-price.ts'
import type { Candidate } from './policy/policy.ts'
import type { RunnerLease } from './runner-lease.ts'

/** A load that the gateway started with its own request. */
export interface Load {
  readonly fingerprint: string
  readonly startedAtMs: number
  readonly expectedMs: number
}

/** What all runners of one node share. */
export class NodeUse {
  /** By `keyOf`. */
  readonly runners = new Map<string, Runner>()
  inFlight = 0
  readonly #weightsOf: (digest: string) => string | null

  /** `weightsOf`: the weights behind a digest, where they are known; left out: each digest has its own. */
  constructor(weightsOf: (digest: string) => string | null = () => null) {
    this.#weightsOf = weightsOf
  }

  /** What Ollama tells runners apart by, as far as it is known: the weights, else the digest, of which copies have the same. */
  keyOf({ name, digest }: RunnerModel): string {
    return digest === '' ? name : (this.#weightsOf(digest) ?? digest)
  }

  /** The runner of a model; null when nothing of it was ever asked here. */
  find(model: RunnerModel): Runner | null {
    return this.runners.get(this.keyOf(model)) ?? null
  }

  /** Milliseconds until this node's single loader is free again, `except` one runner's own load. */
  loaderBacklogMs(nowMs: number, except: Runner): number {
    let backlogMs = 0
    for (const runner of this.runners.values()) {
      if (runner !== except) backlogMs += runner.loadRemaining(nowMs)
    }
    return backlogMs
  }
}

/** Fingerprint of requests under way whose runner options are not all known. No request has it. */
export const unread = 'unread'

/** What `Runner.view` needs to know of a request. */
export interface RunnerRequest {
  readonly fingerprint: string
  /** `num_ctx` when it is the only runner option given: it may equal what is loaded already. */
  readonly contextOnly: number | null
  readonly operation: 'embed' | 'other'
}

/**
 * Requests under way at once on an embedding model: such a runner has one slot whatever the node's settings
 * (ollama-contract.md §2.1), and a second request keeps it busy while the first one's answer travels.
 */
const embedInFlightMax = 2

/** A load that takes this many times what loads here took so far may hang. */
const overdueFactor = 3
/** The same where no load was seen yet: a large model from a slow disk. */
const overdueUnknownMs = 60_000

/** Fingerprints whose context length is remembered at once, per runner. */
const fingerprintsMax = 16

/** What one look at the streams saw is known until the looks after it should have said so again. */
const standstillKnownMs = 200

/** Milliseconds after which half of a failure's penalty is forgotten. */
const penaltyHalfLifeMs = 5_000

export class Runner implements Candidate {
  readonly fleetNode: FleetNode
  readonly node: string
  /** Canonical; one of the names that share it. */
  model: string
  readonly use: NodeUse
  readonly stats: ModelStats
  /** False for the runner of nameless and unknown requests, whose concurrency nobody bounds. */
  readonly bounded: boolean

  inFlight = 0
  /** Answers whose first frame has come: the node runs at least that many at once. */
  streaming = 0
  /** Monotonic ms of the last byte of any answer; `-Infinity` before. */
  heardAtMs = -Infinity
  #streamedAtOnce = 1
  /** Fingerprint of the requests under way or last served; null when only a foreign client knows. */
  fingerprint: string | null = null
  load: Load | null = null
  /** Ends the load under way; null without one. */
  loadSignal: CallSignal | null = null
  /** What other replicas leave to this one; null where there is none to ask. */
  lease: RunnerLease | null = null
  loadFailures = 0
  loadFailedUntilMs = -Infinity
  /** Fingerprint for which the gate is held: no other is admitted until the runner is idle. */
  yieldTo: string | null = null
  /** Context lengths that `/api/ps` showed while answers of ours ran, by their fingerprint. */
  readonly #contextLengths = new Map<string, number | null>()
  /** Monotonic ms of the last good answer; `-Infinity` after an unload. */
  lastServedMs = -Infinity
  /** Monotonic ms when its process died; `-Infinity` when it was loaded since. `/api/ps` goes on listing it. */
  diedAtMs = -Infinity
  overloads = 0
  #failures = 0
  #failuresAtMs = 0
  #standing = 0
  /** Sum over them of how sure that is. */
  #standstill = 0
  #standstillAtMs = -Infinity

  lastChosen = 0
  residency: Candidate['residency'] = 'resident'
  loadRemainingMs = 0
  loaderBacklogMs = 0
  penalty = 0
  cachedTokens = 0
  evictionMs = 0
  /** Most slots found on a node of the same pool whose number is not contradicted. */
  peerSlots = 0
  /** All of the same pool. */
  peers: readonly Runner[] = []

  constructor(fleetNode: FleetNode, model: string, use: NodeUse, stats: ModelStats, bounded: boolean) {
    this.fleetNode = fleetNode
    this.node = fleetNode.name
    this.model = model
    this.use = use
    this.stats = stats
    this.bounded = bounded
  }

  get nodeInFlight(): number {
    return this.use.inFlight
  }

  /**
   * Learned where waits have shown it. Where nothing contradicts it, what a peer was found to run is taken for this node, too:
   * equal nodes would drift apart by which of them happened to be full first.
   */
  get slots(): number {
    if (!this.bounded) return Number.MAX_SAFE_INTEGER
    const { slots, slotsLearned, slotsConfigured } = this.stats
    return slotsLearned || slotsConfigured ? slots : Math.max(slots, this.peerSlots)
  }

  /** Slots that are certain: configured, or as many as streamed at once and nothing contradicts. At least 1. */
  get slotsShown(): number {
    return this.stats.slotsConfigured ? this.slots : Math.max(1, Math.min(this.#streamedAtOnce, this.slots))
  }

  /** An answer's first frame has come; it counts in `streaming` from now on. */
  noteStreaming(): void {
    this.streaming += 1
    this.#streamedAtOnce = Math.max(this.streaming, Math.min(this.#streamedAtOnce, this.slots))
  }

  /** Half of a request for each that is served, a whole one for each that waits in the node. */
  get pendingMs(): number {
    const served = Math.min(this.inFlight, this.slots)
    return (served * 0.5 + (this.inFlight - served)) * (this.stats.requestMs ?? 0)
  }

  get loadMs(): number {
    return this.stats.loadMs
  }

  get prefillMsPerToken(): number | null {
    return this.stats.prefillMsPerToken
  }

  get decodeMsPerToken(): number | null {
    return this.stats.decodeMsPerToken
  }

  /** In memory as far as the gateway knows: `/api/ps` said so, or it served since then. */
  isResident(): boolean {
    const { fleetNode } = this
    if (!this.bounded || fleetNode.loadedAtMs === -Infinity) return true
    if (this.diedAtMs !== -Infinity) return false
    return this.inFlight > 0 || this.lastServedMs >= fleetNode.loadedAtMs || this.listed() !== null
  }

  /** What `/api/ps` lists of it. */
  listed(): LoadedModel | null {
    return loadedOn(this.fleetNode, this.model, (model) => this.use.keyOf(model))
  }

  /** Whether a load under way takes so long that nobody should count on it. */
  isLoadOverdue(nowMs: number): boolean {
    if (this.load === null) return false
    const { loadMsLearned } = this.stats
    return nowMs - this.load.startedAtMs > (loadMsLearned === 0 ? overdueUnknownMs : overdueFactor * loadMsLearned)
  }

  /** Milliseconds that a load under way still takes; 0 without one. What is overdue is expected to take as long again. */
  loadRemaining(nowMs: number): number {
    if (this.load === null) return 0
    const elapsedMs = nowMs - this.load.startedAtMs
    if (this.isLoadOverdue(nowMs)) return elapsedMs
    return Math.max(this.load.expectedMs * 0.1, this.load.expectedMs - elapsedMs)
  }

  /** `/api/ps` was read: what it shows of a model that answers us is what our requests run with. */
  noteListed(): void {
    const listed = this.listed()
    if (listed === null || this.streaming === 0 || this.fingerprint === null) return
    if (this.#contextLengths.size >= fingerprintsMax) this.#contextLengths.clear()
    this.#contextLengths.set(this.fingerprint, listed.contextLength)
  }

  /** The model is in memory as our requests need it, as far as is known: one that waits is being read, not kept out. */
  isInPlace(): boolean {
    const listed = this.listed()
    if (listed === null) return false
    const shown = this.#contextLengths.get(this.fingerprint ?? '') ?? null
    return shown === null || shown === listed.contextLength
  }

  /** Whether a request with these runner options runs without a reload. */
  isCompatible(request: RunnerRequest): boolean {
    if (this.fingerprint !== null) return this.fingerprint === request.fingerprint
    if (request.fingerprint === '') return true
    const contextLength = this.listed()?.contextLength ?? null
    return request.contextOnly !== null && request.contextOnly === contextLength
  }

  /** Brings the candidate fields up to date for one request. */
  view(request: RunnerRequest, { nowMs, slowStartMs, cachedTokens }: { nowMs: number; slowStartMs: number; cachedTokens: number }): void {
    const compatible = this.isCompatible(request)
    if (this.load !== null) {
      this.residency = this.load.fingerprint === request.fingerprint ? 'loading' : 'cold'
      this.loadRemainingMs = this.loadRemaining(nowMs)
    } else {
      this.residency = compatible && this.isResident() ? 'resident' : 'cold'
      this.loadRemainingMs = 0
    }
    this.loaderBacklogMs = this.residency === 'cold' ? this.use.loaderBacklogMs(nowMs, this) : 0
    if (this.residency === 'cold' && this.inFlight > 0) this.loaderBacklogMs += this.pendingMs
    this.evictionMs = 0
    this.cachedTokens = this.residency === 'resident' ? cachedTokens : 0
    this.penalty = this.#penalty(nowMs, slowStartMs)
  }

  /** Adds what a load here would do to other models. Only for a `cold` view. */
  priceLoad({ priceMs, waitMs }: EvictionPrice): void {
    this.evictionMs = priceMs
    this.loaderBacklogMs += waitMs
  }

  #penalty(nowMs: number, slowStartMs: number): number {
    const sinceUpMs = nowMs - this.fleetNode.upSinceMs
    const slowStart = sinceUpMs < slowStartMs ? 1 - sinceUpMs / slowStartMs : 0
    const doubt = slowStart + this.#standstillPenalty(nowMs)
    if (this.#failures === 0) return doubt
    const failures = this.#failures * 0.5 ** ((nowMs - this.#failuresAtMs) / penaltyHalfLifeMs)
    return doubt + (failures < 0.01 ? 0 : failures)
  }

  /**
   * A runner gives all its streams a token at each step, so that one whose streams stand still may hang, long before a deadline can say so. It
   * looks full when that is certain of all of them: what comes meanwhile goes to others, and a model that nobody else holds is loaded.
   */
  #standstillPenalty(nowMs: number): number {
    if (!this.bounded || this.standingAt(nowMs) === 0) return 0
    return this.slots * Math.min(1, this.#standstill / this.streaming)
  }

  /** A look at the streams, which are all looked at with the same `nowMs`, saw one that stands still with this certainty. */
  noteStandstill(certainty: number, nowMs: number): void {
    if (nowMs !== this.#standstillAtMs) {
      this.#standstillAtMs = nowMs
      this.#standing = 0
      this.#standstill = 0
    }
    this.#standing += 1
    this.#standstill += certainty
  }

  /** Streams that stood still at the last look. */
  standingAt(nowMs: number): number {
    return nowMs - this.#standstillAtMs < standstillKnownMs ? Math.min(this.#standing, this.streaming) : 0
  }

  /** A request failed here by the node's fault: the node looks busier for a while. */
  noteFailure(nowMs: number): void {
    this.#failures = this.#failures * 0.5 ** ((nowMs - this.#failuresAtMs) / penaltyHalfLifeMs) + 1
    this.#failuresAtMs = nowMs
  }

  /** Whether a failure is so recent that a request which failed elsewhere had better go to another node. */
  hasFailedLately(nowMs: number): boolean {
    return this.#failures > 0 && nowMs - this.#failuresAtMs < penaltyHalfLifeMs
  }

  /** Whether requests wait here though nobody was sent a byte since then. */
  isMuteSince(sinceMs: number): boolean {
    return this.inFlight > 0 && this.heardAtMs < sinceMs
  }

  #inFlightMax(request: RunnerRequest): number {
    const { slots } = this
    if (request.operation === 'other' || this.stats.slotsConfigured) return slots
    return Math.min(slots, embedInFlightMax)
  }

  /** Whether no request at all may be sent at this moment, whatever its runner options. */
  isFull(): boolean {
    return this.bounded && (this.load !== null || this.inFlight >= this.slots)
  }

  /** Whether a request may be sent at this moment without waiting inside the node. */
  isFree(request: RunnerRequest): boolean {
    if (!this.bounded) return true
    if (this.load !== null || this.inFlight >= this.#inFlightMax(request)) return false
    if (this.yieldTo !== null && this.yieldTo !== request.fingerprint && this.inFlight > 0) return false
    return this.inFlight === 0 || this.isCompatible(request)
  }
}
