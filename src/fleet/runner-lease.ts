/**
 * What one replica may send to one runner while others send to it, too: whether it holds the lease, for which runner options, and
 * what the others want. Requests ask `allows`, which waits for nothing; everything else happens between them.
 *
 * Invariants: one statement that is waited for at a time; an answer that a later statement overtook counts for nothing; without
 * Redis, or when it did not answer, everything is allowed, as if this replica were alone. The desk (`leases.ts`) sends and receives.
 */
import type { Clock } from '../base/clock.ts'
import type { LeaseReply, LeaseStatement } from './lease-script.ts'

/** What a lease reads and writes of its runner. */
export interface LeasedRunner {
  readonly inFlight: number
  /** Moves with every request sent here. */
  readonly lastChosen: number
  readonly loadMs: number
  readonly fleetNode: { readonly loadedAtMs: number }
  fingerprint: string | null
  load: { readonly fingerprint: string; readonly startedAtMs: number; readonly expectedMs: number } | null
  lastServedMs: number
  diedAtMs: number
  yieldTo: string | null
  isResident(): boolean
  isCompatible(request: LeaseRequest): boolean
}

export interface LeaseRequest {
  readonly fingerprint: string
  readonly contextOnly: number | null
  readonly operation: 'embed' | 'other'
}

export interface LeaseDesk {
  readonly clock: Clock
  /** Redis is absent or left alone. */
  readonly isAlone: boolean
  /** Sends with the other statements of this moment; ends in `answered`. */
  send(lease: RunnerLease, statement: LeaseStatement, turn: number): void
}

/** A holder that is not heard of for this long holds nothing any more: two renewals may be lost. */
export const leaseTtlMs = 3_000
/** A lease is not counted on for its last part, since its time began when Redis took it, at some moment of the call. */
const safetyMs = 500
/** How long a refusal is believed, unless news come; also how often a load elsewhere is asked after. */
export const refusedForMs = 250
/** How long this replica goes its own way after Redis did not answer. */
const aloneForMs = 1_000
/** Askings without an answer before this replica goes its own way: few enough that the breaker opens soon after (five in a row). */
const asksMax = 3
/** Refused fingerprints remembered at once. */
const refusedMax = 16
/** Who was refused hears news for this long: until it has asked again. */
const hearsForMs = 1_000

export class RunnerLease {
  readonly key: string
  readonly #runner: LeasedRunner
  readonly #desk: LeaseDesk
  #held: string | null = null
  #heldUntilMs = -Infinity
  /** The fingerprint for which others wait so long that it is their turn. */
  #wanted: string | null = null
  /** Others wait for this runner to be idle. */
  #awaited = false
  #loading = false
  #asked: LeaseRequest | null = null
  /** The request whose model another replica loads; the runner's `load` then stands for theirs. */
  #watched: LeaseRequest | null = null
  #aloneUntilMs = -Infinity
  #unansweredAsks = 0
  #turn = 0
  #chosenAtTick = -1
  #refusedAtMs = -Infinity
  readonly #refusedUntilMs = new Map<string, number>()

  constructor(key: string, runner: LeasedRunner, desk: LeaseDesk) {
    this.key = key
    this.#runner = runner
    this.#desk = desk
  }

  /** Whether a request with this fingerprint may be sent, or its load started, as far as other replicas are concerned. */
  allows(fingerprint: string): boolean {
    if (this.#desk.isAlone) return true
    const nowMs = this.#desk.clock.nowMs()
    if (this.#aloneUntilMs > nowMs) return true
    if (this.#wanted !== null && this.#wanted !== fingerprint) return false
    return this.#held === fingerprint && this.#heldUntilMs > nowMs
  }

  /** Whether it is being asked for. */
  isAskedFor(fingerprint: string): boolean {
    return this.#asked?.fingerprint === fingerprint
  }

  /** Whether news matter: it holds, waits, or was refused just now. */
  get isActive(): boolean {
    const hears = this.#held !== null || this.#asked !== null || this.#watched !== null
    return hears || this.#desk.clock.nowMs() - this.#refusedAtMs < hearsForMs
  }

  /** Asks for the lease unless that is under way or was refused just now. Whoever waits is woken by the answer. */
  ask(request: LeaseRequest): void {
    if (this.#asked !== null || this.#watched !== null) return
    const { fingerprint } = request
    if ((this.#refusedUntilMs.get(fingerprint) ?? -Infinity) > this.#desk.clock.nowMs()) return
    this.#send('ask', request)
  }

  #send(kind: LeaseStatement['kind'], request: LeaseRequest): void {
    const runner = this.#runner
    const nowMs = this.#desk.clock.nowMs()
    const resident = runner.isResident()
    this.#turn += 1
    const { fingerprint } = request
    this.#asked = kind === 'ask' ? request : null
    // Nothing more of the old kind may slip in while the answer is under way.
    if (kind === 'ask' && this.#held !== fingerprint) this.#lose()
    const statement: LeaseStatement = {
      key: this.key,
      kind,
      fingerprint,
      ready: resident && runner.isCompatible(request),
      coldForMs: resident ? null : nowMs - Math.max(runner.fleetNode.loadedAtMs, runner.diedAtMs),
      patient: runner.yieldTo === fingerprint,
      loading: this.#isLoading(),
      busy: runner.inFlight > 0,
      servedForMs: nowMs - runner.lastServedMs,
    }
    this.#desk.send(this, statement, this.#turn)
  }

  #isLoading(): boolean {
    return this.#runner.load !== null && this.#watched === null
  }

  /** Whether a request or a load of this replica's own is under way. */
  #isBusy(): boolean {
    return this.#runner.inFlight > 0 || this.#isLoading()
  }

  /** What became of statement number `turn`, sent at `sentAtMs`; null: Redis did not answer. */
  answered(turn: number, reply: LeaseReply | null, sentAtMs: number): void {
    if (turn !== this.#turn) return
    const request = this.#asked
    this.#asked = null
    if (reply === null) return this.#unanswered(request)
    this.#aloneUntilMs = -Infinity
    this.#unansweredAsks = 0
    if (reply.verdict !== 'loading') this.#endWatch()
    if (reply.verdict === 'run' || reply.verdict === 'load') {
      this.#heldUntilMs = sentAtMs + leaseTtlMs - safetyMs
      this.#wanted = reply.wanted
      this.#awaited = reply.awaited
      if (request !== null) this.#granted(request, reply)
    } else if (reply.verdict === 'loading') {
      this.#lose()
      if (request !== null) this.#watch(request)
    } else if (reply.verdict === 'busy') {
      this.#refused(request, reply)
    }
  }

  /** One late answer is no reason to endanger a node: what is held stands until its end, and an asking is repeated. */
  #unanswered(request: LeaseRequest | null): void {
    const nowMs = this.#desk.clock.nowMs()
    if (!this.#desk.isAlone) {
      if (request === null && (this.#held === null || this.#heldUntilMs > nowMs)) return
      this.#unansweredAsks += 1
      if (request !== null && this.#unansweredAsks < asksMax) return this.#send('ask', request)
    }
    this.#unansweredAsks = 0
    this.#standAlone()
    this.#aloneUntilMs = nowMs + aloneForMs
  }

  #granted(request: LeaseRequest, { verdict, fingerprint, readyForMs }: LeaseReply): void {
    const runner = this.#runner
    this.#held = request.fingerprint
    this.#loading = verdict === 'load'
    this.#refusedUntilMs.delete(request.fingerprint)
    if (fingerprint === null || runner.inFlight > 0) return
    runner.fingerprint = fingerprint
    if (verdict === 'load' || readyForMs === null) return
    // Others had it in memory later than this replica last looked.
    runner.lastServedMs = Math.max(runner.lastServedMs, this.#desk.clock.nowMs() - readyForMs)
    if (runner.lastServedMs > runner.diedAtMs) runner.diedAtMs = -Infinity
  }

  #refused(request: LeaseRequest | null, { fingerprint }: LeaseReply): void {
    this.#lose()
    if (request === null) return
    this.#pause(request.fingerprint)
    if (fingerprint !== null && this.#runner.inFlight === 0) this.#runner.fingerprint = fingerprint
  }

  #pause(fingerprint: string): void {
    this.#refusedAtMs = this.#desk.clock.nowMs()
    if (this.#refusedUntilMs.size >= refusedMax) this.#refusedUntilMs.clear()
    this.#refusedUntilMs.set(fingerprint, this.#refusedAtMs + refusedForMs)
  }

  #lose(): void {
    this.#held = null
    this.#heldUntilMs = -Infinity
    this.#wanted = null
    this.#awaited = false
  }

  #watch(request: LeaseRequest): void {
    this.#watched = request
    const { fingerprint } = request
    const runner = this.#runner
    runner.load ??= { fingerprint, startedAtMs: this.#desk.clock.nowMs(), expectedMs: runner.loadMs }
  }

  #endWatch(): void {
    if (this.#watched === null) return
    this.#watched = null
    this.#runner.load = null
  }

  /** Nothing is known of the others any more. True when that lets somebody in. */
  #standAlone(): boolean {
    const changed = this.#watched !== null || this.#held === null
    this.#endWatch()
    this.#lose()
    this.#refusedUntilMs.clear()
    return changed
  }

  /** After those who wait have seen a grant: who does not use the right to load leaves it to others, who needs no load says so. */
  settle(): void {
    if (this.#held === null || !this.#loading || this.#isLoading()) return
    this.#loading = false
    if (this.#runner.inFlight > 0) return this.#keep(this.#held)
    this.#pause(this.#held)
    this.#drop()
  }

  /** This replica's own load has ended. */
  loadEnded(loaded: boolean): void {
    this.#loading = false
    if (this.#held === null) return
    if (loaded) this.#keep(this.#held)
    else this.#drop()
  }

  /** The last request of this replica has ended. */
  idle(): void {
    if (this.#held !== null && (this.#wanted !== null || this.#awaited) && !this.#isBusy()) this.#drop()
  }

  /** Somebody waits: for the runner to be idle, or (with a fingerprint) so long that nobody else is let in until then. */
  noteWanted(fingerprint: string | null): void {
    if (this.#held === null || this.#held === fingerprint) return
    this.#awaited = true
    if (fingerprint !== null) this.#wanted = fingerprint
    this.idle()
  }

  /** The runner may be free, or its load has ended. True when those who wait here should ask again. */
  noteFreed(): boolean {
    this.#refusedUntilMs.clear()
    if (this.#watched !== null) this.poll()
    return this.#held === null && this.#watched === null
  }

  /** Asks after a load elsewhere. True when one is no longer waited for, because there is nobody to ask. */
  poll(): boolean {
    if (this.#desk.isAlone) return this.isActive && this.#standAlone()
    if (this.#watched !== null && this.#asked === null) this.#send('ask', this.#watched)
    return false
  }

  /** Says that this replica still holds, or holds no more. Called once in a while, also for what is not held. */
  renew(): void {
    if (this.#desk.isAlone || this.#asked !== null || this.#watched !== null) return
    const { lastChosen } = this.#runner
    const used = lastChosen !== this.#chosenAtTick
    this.#chosenAtTick = lastChosen
    const running = this.#held ?? this.#runner.load?.fingerprint ?? this.#runner.fingerprint
    if (this.#isBusy()) {
      if (running !== null) this.#keep(running)
    } else if (this.#held !== null) {
      if (used) this.#keep(this.#held)
      else this.#drop()
    }
  }

  /** Gives it back, so that nobody waits for its end. */
  release(): void {
    if (this.#held !== null) this.#drop()
  }

  #keep(fingerprint: string): void {
    this.#held = fingerprint
    this.#send('keep', { fingerprint, contextOnly: null, operation: 'other' })
  }

  #drop(): void {
    const fingerprint = this.#held
    this.#lose()
    if (fingerprint !== null) this.#send('drop', { fingerprint, contextOnly: null, operation: 'other' })
  }
}
