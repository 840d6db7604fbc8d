/**
 * The end of the relay chain: claims a place, tries, retries elsewhere until the first frame, and settles health, learning
 * and the place at the true end of the answer.
 *
 * What a further try costs, and when there is none, is `retry-account.ts`'s to say.
 * When nobody else can do better the node's own answer is passed on untouched.
 */
import type { ByteQueue } from '../base/byte-queue.ts'
import type { Clock } from '../base/clock.ts'
import type { LiveList } from '../base/live-list.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Provenance, Relay } from '../core/relay.ts'
import { responseHeaders } from '../wire/request-headers.ts'
import type { EndAttempt } from '../observe/tracing.ts'
import { renderStreamError } from '../wire/render-error.ts'
import { Attempt, type FrameGaps } from './attempt.ts'
import type { AttemptSink, Failure, StreamEnd } from './attempt-report.ts'
import type { Catalogue } from './catalogue.ts'
import type { Claim } from './claim.ts'
import { explainAttempt } from './explain-choice.ts'
import { RetryAccount, type RetryAccountDeps } from './retry-account.ts'
import { outrun, settleFailure, settleOutrun, settleStream, settleWhole, type SettleDeps } from './settle.ts'
import { prepareRequest, type Wish } from './wish.ts'
import type { WeightsBook } from './weights.ts'
import { carriesContext, type ContextDeps, noteContext } from './num-ctx.ts'

export interface DispatchEvents {
  /** A try's first frame came: gives who hears of the gaps between those that follow, if anybody. */
  streamStarted(attempt: Attempt): FrameGaps | null
  /** One try ended. `ttftMs` is null when no frame came. */
  attemptEnded(attempt: Attempt, result: { readonly outcome: Outcome['kind']; readonly ttftMs: number | null }): void
  retried(node: string, reason: string): void
  routed(node: string, reason: string): void
  reloadAvoided(model: string): void
}

export interface DispatchDeps extends SettleDeps, RetryAccountDeps, ContextDeps {
  readonly catalogue: Catalogue
  readonly clock: Clock
  readonly weights: Pick<WeightsBook, 'optionsOf' | 'besideOf'>
  readonly active: LiveList<Attempt>
  readonly events: DispatchEvents
  /** Adds the call's id and trace context to a flat list of headers; gives who is to hear how the try ended, if anybody. */
  readonly addCallHeaders: (headers: string[], call: Call) => EndAttempt | null
  /** Looks in the lists of all nodes for models that none was known to hold. */
  readonly lookForModels: () => Promise<void>
}

const unheld = { known: false, holders: [] } as const
const clientGone = { kind: 'client_gone', error: null } as const

/** The relay for everything that one node answers. */
export function createDispatch(deps: DispatchDeps): Relay {
  return (request, call) =>
    new Promise<Answer>((resolve, reject) => {
      const prepared = prepareRequest(deps, request, call.principal.nodeGroup)
      new Dispatch(
        deps,
        prepared.request,
        call,
        { wish: prepared.wish, contextChanged: prepared.contextChanged },
        { resolve, reject },
      ).run()
    })
}

interface Settle {
  resolve(answer: Answer): void
  reject(error: unknown): void
}

class Dispatch implements AttemptSink<Attempt> {
  readonly #deps: DispatchDeps
  readonly #request: InferenceRequest
  readonly #call: Call
  readonly #wish: Wish
  readonly #contextChanged: boolean
  readonly #settle: Settle
  /** The try under way; null while the request waits for a place. */
  #attempt: Attempt | null = null
  #endTraced: EndAttempt | null = null
  #lastAttempt: Attempt | null = null
  #lastFailure: Failure | null = null
  readonly #account: RetryAccount
  #attempts = 0
  #firstStartedAtMs = 0
  #settled = false
  #resolveOutcome: ((outcome: Outcome) => void) | null = null
  #frames: ByteQueue | null = null

  constructor(
    deps: DispatchDeps,
    request: InferenceRequest,
    call: Call,
    { wish, contextChanged }: { wish: Wish; contextChanged: boolean },
    settle: Settle,
  ) {
    this.#deps = deps
    this.#request = request
    this.#call = call
    this.#wish = wish
    this.#contextChanged = contextChanged
    this.#settle = settle
    this.#account = new RetryAccount(deps, wish, call)
  }

  run(): void {
    this.#deps.budget.active += 1
    this.#call.signal.on(this.#onAbort)
    this.#next(false)
  }

  readonly #onAbort = (reason: unknown): void => {
    const attempt = this.#attempt
    if (attempt === null) return
    if (this.#frames !== null) {
      this.#frames.cancel('call aborted')
      return
    }
    if (reason === outrun) settleOutrun(this.#deps, attempt)
    else settleStream(this.#deps, attempt, clientGone)
    attempt.abort('the client left')
    this.#close(attempt, 'client_gone', null)
    this.#reject(new CorralError('client_gone', 'the client left before the first frame'))
  }

  #next(retry: boolean): void {
    let claim: Claim | Promise<Claim>
    try {
      claim = this.#deps.admission.claim(this.#wish, this.#call, retry)
    } catch (error) {
      this.#giveUp(error)
      return
    }
    if (claim instanceof Promise) claim.then(this.#send, this.#giveUp)
    else this.#send(claim)
  }

  readonly #send = (claim: Claim): void => {
    const call = this.#call
    const { admission, events } = this.#deps
    if (call.signal.aborted) {
      claim.ticket?.settle('neutral', this.#deps.clock.nowMs())
      admission.release(claim)
      this.#reject(new CorralError('client_gone', 'the client left before the request was sent'))
      return
    }
    this.#attempts += 1
    call.progress.attempts = this.#attempts
    call.progress.phase = 'waiting'
    const reason = this.#attempts > 1 ? 'retry' : claim.reason
    call.progress.node = claim.runner.node
    call.progress.routeReason = reason
    if (this.#contextChanged && claim.runner.fingerprint === this.#wish.runner.fingerprint) events.reloadAvoided(claim.model)
    admission.dispatched(claim, this.#wish)
    events.routed(claim.runner.node, reason)
    const { active, clock } = this.#deps
    const { silences } = this.#account
    const attempt = new Attempt({ clock, options: this.#deps.options(), active, sink: this, silences }, this.#request, call, claim)
    this.#attempt = attempt
    this.#lastAttempt = attempt
    call.progress.dispatchedAtMs = attempt.startedAtMs
    if (this.#attempts === 1) this.#firstStartedAtMs = attempt.startedAtMs
    const headers = this.#request.headers.slice()
    this.#endTraced = this.#deps.addCallHeaders(headers, call)
    attempt.start(headers)
  }

  onFirstFrame(attempt: Attempt, frames: ByteQueue): void {
    const { runner } = attempt.claim
    runner.noteStreaming()
    const { firstFrameAtMs } = attempt
    if (runner.bounded) runner.stats.observeStreaming(runner.streaming - runner.standingAt(firstFrameAtMs), firstFrameAtMs)
    this.#noteContext(attempt)
    this.#frames = frames
    attempt.gaps = this.#deps.events.streamStarted(attempt)
    this.#call.progress.phase = 'streaming'
    this.#settled = true
    const { promise: outcome, resolve } = Promise.withResolvers<Outcome>()
    this.#resolveOutcome = resolve
    this.#settle.resolve({
      kind: 'stream',
      status: attempt.status,
      headers: responseHeaders(attempt.headers),
      provenance: this.#provenance(attempt),
      frames,
      outcome,
    })
  }

  onProven(attempt: Attempt): void {
    attempt.claim.ticket?.prove(this.#deps.clock.nowMs())
  }

  onStreamEnd(attempt: Attempt, end: StreamEnd): void {
    attempt.claim.runner.streaming -= 1
    const kind = outcomeKind(end)
    settleStream(this.#deps, attempt, end)
    this.#close(attempt, kind, end)
    const frames = this.#frames
    if (frames !== null && frames.open) {
      if (end.error !== null) frames.push(renderStreamError(this.#request.route, end.error, this.#call.id))
      frames.end()
    }
    if (end.kind === 'client_too_slow') this.#call.signal.abort(end.error)
    this.#end()
    this.#resolveOutcome?.(this.#outcome(attempt, kind, end.error))
  }

  onWhole(attempt: Attempt, body: Buffer): void {
    settleWhole(this.#deps, attempt)
    this.#noteContext(attempt)
    this.#close(attempt, 'ok', null)
    this.#resolveWhole(attempt, { status: attempt.status, headers: responseHeaders(attempt.headers), body }, 'ok')
  }

  #noteContext({ claim: { runner } }: Attempt): void {
    const { model } = this.#wish
    if (model !== null && runner.bounded && carriesContext(this.#request)) noteContext(this.#deps, this.#request, { model, runner })
  }

  onFailure(attempt: Attempt, failure: Failure): void {
    settleFailure(this.#deps, attempt, failure)
    this.#close(attempt, failureOutcome(failure), failure)
    this.#lastFailure = failure
    if (!this.#account.takeRetry(attempt, failure)) {
      this.#finish(attempt, failure)
      return
    }
    this.#deps.events.retried(attempt.claim.runner.node, failure.kind)
    if (failure.kind === 'missing_model') this.#retryMissing(attempt, failure)
    else this.#next(true)
  }

  shouldMove(attempt: Attempt): boolean {
    return this.#account.shouldMove(attempt)
  }

  /** A model that no list knows may have been pulled behind our back: one look at all lists, then the node's answer stands. */
  #retryMissing(attempt: Attempt, failure: Failure): void {
    if (attempt.claim.runner.bounded) {
      this.#next(true)
      return
    }
    this.#account.refreshed = true
    const { catalogue, lookForModels } = this.#deps
    void lookForModels().then(() => {
      const { model } = this.#request
      const { known, holders } = model === null ? unheld : catalogue.resolve(model, this.#wish.nodeGroup)
      // Those that were left out because the old lists did not name them.
      for (const { name } of holders) if (name !== attempt.claim.runner.node) this.#wish.tried.delete(name)
      if (known && !this.#call.signal.aborted) this.#next(true)
      else this.#finish(attempt, failure)
    })
  }

  /** No further try: the node's own answer where there is one, else the error. */
  #finish(attempt: Attempt, failure: Failure): void {
    const { response } = failure
    if (response === null) {
      this.#reject(failure.error)
      return
    }
    const headers = { ...responseHeaders(response.headers) }
    if (response.status === 503) headers['retry-after'] ??= '1'
    const kind = response.status < 500 ? 'client_error' : 'node_error'
    this.#resolveWhole(attempt, { status: response.status, headers, body: response.body }, kind)
  }

  #resolveWhole(attempt: Attempt, response: { status: number; headers: Answer['headers']; body: Buffer }, kind: Outcome['kind']): void {
    if (this.#settled) return
    this.#end()
    this.#settled = true
    this.#settle.resolve({
      kind: 'whole',
      status: response.status,
      headers: response.headers,
      body: response.body,
      provenance: this.#provenance(attempt),
      // A client's own error is no failure of the node's, though its answer is passed on.
      outcome: this.#outcome(attempt, kind, kind === 'ok' || kind === 'client_error' ? null : (this.#lastFailure?.error ?? null)),
    })
  }

  /** Nobody to try: what the last node said outranks "no node". */
  readonly #giveUp = (thrown: unknown): void => {
    const attempt = this.#lastAttempt
    if (this.#lastFailure !== null && attempt !== null && thrown instanceof CorralError && thrown.code === 'no_node') {
      this.#finish(attempt, this.#lastFailure)
      return
    }
    this.#reject(thrown)
  }

  #reject(thrown: unknown): void {
    if (this.#settled) return
    this.#end()
    this.#settled = true
    this.#settle.reject(thrown)
  }

  #provenance(attempt: Attempt): Provenance {
    const { claim } = attempt
    return {
      node: claim.runner.node,
      reason: this.#attempts > 1 ? 'retry' : claim.reason,
      attempts: this.#attempts,
      dispatchedAtMs: attempt.startedAtMs,
      firstDispatchedAtMs: this.#firstStartedAtMs,
    }
  }

  #outcome(attempt: Attempt, kind: Outcome['kind'], error: CorralError | null): Outcome {
    return { kind, usage: attempt.usage, frames: attempt.frameCount, bytes: attempt.bytes, error }
  }

  /** Gives the place back, exactly once per attempt. */
  #close(attempt: Attempt, outcome: Outcome['kind'], cause: Pick<Failure | StreamEnd, 'kind' | 'error'> | null): void {
    const streamed = attempt.firstFrameAtMs > 0
    if (this.#endTraced !== null) this.#endTraced(attempt, { outcome, error: cause?.error ?? null })
    this.#deps.events.attemptEnded(attempt, { outcome, ttftMs: streamed ? attempt.firstFrameAtMs - attempt.startedAtMs : null })
    const { explanation } = this.#call
    if (explanation !== null) explainAttempt(explanation, attempt, { outcome, cause, nowMs: this.#deps.clock.nowMs() })
    this.#attempt = null
    this.#deps.admission.release(attempt.claim)
  }

  /** The end of the whole request, whatever it was. Called exactly once. */
  #end(): void {
    this.#call.signal.off(this.#onAbort)
    this.#deps.budget.active -= 1
    this.#account.end()
  }
}

function failureOutcome({ kind }: Failure): Outcome['kind'] {
  if (kind === 'too_large') return 'rejected'
  return kind === 'client' ? 'client_error' : 'node_error'
}

function outcomeKind(end: StreamEnd): Outcome['kind'] {
  switch (end.kind) {
    case 'ok':
      return 'ok'
    case 'client_gone':
    case 'client_too_slow':
      return 'client_gone'
    case 'broken':
    case 'silent':
      return 'truncated'
  }
}
