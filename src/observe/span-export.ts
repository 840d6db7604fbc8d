/**
 * Delivers spans to a collector, beside everything else: whoever ends a span hands it over and goes on. At most
 * `queueSpansMax` spans wait; more are dropped and counted. One delivery at a time; a collector that is away, busy (429, 502,
 * 503, 504) or too slow is asked again for up to `triesMax` times, later each time or when its `Retry-After` says, and then its
 * batch is given up and counted. What it refuses for good is counted and not sent again.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { encodeSpans, readRejected } from './otlp.ts'
import type { Attributes, Span, SpanSink } from './span.ts'

export interface Delivery {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export interface SpanExportDeps {
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly resource: Attributes
  readonly version: string
  readonly queueSpansMax: number
  readonly everyMs: number
  /** Wait before the second try; doubled for each further one. */
  readonly retryMs?: number
  /** Sends one body. Rejects when no answer came. */
  readonly post: (body: string) => Promise<Delivery>
  /** Deliveries fail since now (a reason), or go well again (null). */
  readonly onTrouble: (reason: string | null) => void
}

/** What became of the spans handed over. */
export interface SpanCounts {
  /** Taken by the collector. */
  sent: number
  /** Not taken in here, because the queue was full. */
  dropped: number
  /** Refused by the collector. */
  refused: number
  /** Given up, because the collector could not be had. */
  lost: number
}

/** Spans of one delivery. */
const batchSpansMax = 512
const triesMax = 5
const retryMsDefault = 1_000
/** A collector that asks for more patience than this is taken to be away. */
const retryMsMax = 30_000
const busyStatuses: ReadonlySet<number> = new Set([429, 502, 503, 504])
/** The wall clock was set by a person or a network: from here on the new time counts. */
const clockStepMs = 1_000

/** What one try came to. `later`: worth another one, after so many milliseconds if the collector said so. */
type Verdict =
  | { readonly kind: 'taken'; readonly rejected: number; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'later'; readonly reason: string; readonly afterMs: number | null }

export class SpanExport implements SpanSink {
  readonly counts: SpanCounts = { sent: 0, dropped: 0, refused: 0, lost: 0 }
  /** Tries of deliveries that came to nothing. */
  failures = 0
  readonly #deps: SpanExportDeps
  #queue: Span[] = []
  #sending: Promise<void> | null = null
  #timer: Timer | null = null
  #closing = false
  #endPause: (() => void) | null = null
  #isTroubled = false
  #offsetMs: number

  constructor(deps: SpanExportDeps) {
    this.#deps = deps
    this.#offsetMs = deps.clock.wallMs() - deps.clock.nowMs()
  }

  push(span: Span): void {
    if (this.#queue.length >= this.#deps.queueSpansMax) {
      this.counts.dropped += 1
      return
    }
    this.#queue.push(span)
    this.#schedule()
  }

  /** Sends what is left, once. Resolves when that has ended, well or not; what was not taken is counted as lost. */
  async close(): Promise<void> {
    this.#closing = true
    this.#timer?.cancel()
    this.#endPause?.()
    await this.#sending
    this.#timer?.cancel()
    await this.#drain()
  }

  #schedule(): void {
    if (this.#sending !== null) return
    if (this.#queue.length >= batchSpansMax) this.#start()
    else this.#timer ??= this.#deps.clock.after(this.#deps.everyMs, () => this.#start())
  }

  #start(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#sending = this.#drain().finally(() => {
      this.#sending = null
      if (this.#queue.length > 0 && !this.#closing) this.#schedule()
    })
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) await this.#deliver(this.#queue.splice(0, batchSpansMax))
  }

  async #deliver(batch: readonly Span[]): Promise<void> {
    const body = encodeSpans(batch, { ...this.#deps, offsetMs: this.#currentOffsetMs() })
    for (let attempt = 1; ; attempt += 1) {
      const verdict = await this.#try(body)
      if (verdict.kind !== 'taken') this.failures += 1
      if (verdict.kind !== 'later') {
        this.#settle(batch.length, verdict)
        return
      }
      this.#note(verdict.reason)
      if (attempt === triesMax || this.#closing) {
        this.counts.lost += batch.length
        return
      }
      await this.#pause(verdict.afterMs ?? this.#backoffMs(attempt))
    }
  }

  async #try(body: string): Promise<Verdict> {
    try {
      return judge(await this.#deps.post(body))
    } catch (error) {
      return { kind: 'later', reason: error instanceof Error ? error.message : String(error), afterMs: null }
    }
  }

  #settle(spans: number, verdict: Exclude<Verdict, { kind: 'later' }>): void {
    const refused = verdict.kind === 'refused' ? spans : Math.min(spans, verdict.rejected)
    this.counts.refused += refused
    this.counts.sent += spans - refused
    this.#note(refused === 0 ? null : verdict.reason)
  }

  /** Told once per change, not once per batch. */
  #note(reason: string | null): void {
    const isTroubled = reason !== null
    if (isTroubled === this.#isTroubled) return
    this.#isTroubled = isTroubled
    this.#deps.onTrouble(reason)
  }

  /** With jitter: replicas that lost one collector do not come back in one moment. */
  #backoffMs(attempt: number): number {
    const { random, retryMs = retryMsDefault } = this.#deps
    return Math.min(retryMsMax, retryMs * 2 ** (attempt - 1)) * (0.5 + random() / 2)
  }

  #pause(delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#deps.clock.after(delayMs, resolve)
    this.#endPause = resolve
    return promise.finally(() => {
      timer.cancel()
      this.#endPause = null
    })
  }

  /** One offset for all spans of a trace, so that their order holds: the wall clock alone has whole milliseconds. */
  #currentOffsetMs(): number {
    const { clock } = this.#deps
    const offsetMs = clock.wallMs() - clock.nowMs()
    if (Math.abs(offsetMs - this.#offsetMs) > clockStepMs) this.#offsetMs = offsetMs
    return this.#offsetMs
  }
}

function judge({ status, headers, body }: Delivery): Verdict {
  if (status >= 200 && status < 300) {
    const { spans, reason } = readRejected(body)
    return { kind: 'taken', rejected: spans, reason: `the collector refused spans: ${reason}` }
  }
  const reason = `the collector answered ${status}`
  return busyStatuses.has(status) ? { kind: 'later', reason, afterMs: retryAfterMs(headers['retry-after']) } : { kind: 'refused', reason }
}

/** Of a `Retry-After` in seconds; null when there is none. A date counts as none: the wait between tries serves as well. */
function retryAfterMs(header: string | string[] | undefined): number | null {
  if (typeof header !== 'string' || !/^\d{1,9}$/.test(header)) return null
  return Math.min(retryMsMax, Number(header) * 1_000)
}
