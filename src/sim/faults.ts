/**
 * The faults a test may set on a node. A fault applies to requests of its `path` (all when absent) until its `count` is
 * used up or its time is over. At most one fault shapes one request: the oldest that matches.
 */
import type { Ticker } from './ticker.ts'

export const faultKinds = [
  'refuse',
  'rst-before-head',
  'rst-at-frame',
  'instant-503',
  'missing-model',
  'hang-before-head',
  'hang-mid-stream',
  'truncate',
  'error-line',
  'malformed-json',
  'slow-loris',
  'flap',
  'digest-drift',
  'half-closed',
  'frozen-runner',
  'runner-death',
  'slow-head',
  'server-error',
] as const

export type FaultKind = (typeof faultKinds)[number]

export interface FaultOptions {
  /**
   * How many requests it hits, `flap`: how many times the node goes away; no limit when absent. Not for `refuse`,
   * `frozen-runner` and a `runner-death` at once, where there is nothing to count.
   */
  readonly count?: number
  /** How long it lasts, real milliseconds; until it is cleared when absent. Not for a `runner-death` at once: it stays dead. */
  readonly forMs?: number
  /** Exact path, e.g. `/api/chat`. */
  readonly path?: string
  /** The frame (from 0) at which a mid-stream fault strikes instead; default 1. */
  readonly atFrame?: number
  /** `slow-head`: delay before the head; `slow-loris`: pause between pieces; `flap`: half period. Default 1,000. */
  readonly delayMs?: number
  /** `frozen-runner`, `runner-death`: only this model's runner. */
  readonly model?: string
}

export interface Fault extends FaultOptions {
  readonly kind: FaultKind
  left: number
  readonly untilMs: number
  readonly frame: number
  readonly pauseMs: number
}

/** Faults that shape one answer, as opposed to the state of the node. */
const requestKinds: ReadonlySet<FaultKind> = new Set(
  faultKinds.filter((kind) => !['refuse', 'flap', 'digest-drift', 'frozen-runner', 'runner-death'].includes(kind)),
)

/** What cannot be told of a fault that concerns the node rather than its answers. */
function unusable(kind: FaultKind, { atFrame }: FaultOptions): readonly ('count' | 'forMs')[] {
  if (kind === 'refuse' || kind === 'frozen-runner') return ['count']
  return kind === 'runner-death' && atFrame === undefined ? ['count', 'forMs'] : []
}

/** Throws where an option would go unheard, or is no positive number. */
export function assertUsable(kind: FaultKind, options: FaultOptions): void {
  for (const name of unusable(kind, options)) {
    if (options[name] !== undefined) throw new RangeError(`${kind} takes no ${name}`)
  }
  for (const name of ['count', 'forMs'] as const) {
    const value = options[name] ?? 1
    if (!(value > 0)) throw new RangeError(`${kind}: ${name} is a positive number, got ${value}`)
  }
}

export function isFaultKind(text: string): text is FaultKind {
  return faultKinds.some((kind) => kind === text)
}

export class FaultBook {
  readonly #ticker: Ticker
  #faults: Fault[] = []

  constructor(ticker: Ticker) {
    this.#ticker = ticker
  }

  get list(): readonly Fault[] {
    return this.#faults
  }

  set(kind: FaultKind, options: FaultOptions): Fault {
    const untilMs = options.forMs === undefined ? Infinity : this.#ticker.nowMs() + options.forMs
    const fault: Fault = {
      ...options,
      kind,
      left: options.count ?? Infinity,
      untilMs,
      frame: options.atFrame ?? 1,
      pauseMs: options.delayMs ?? 1_000,
    }
    this.#faults.push(fault)
    return fault
  }

  clear(kind?: FaultKind): void {
    this.#faults = kind === undefined ? [] : this.#faults.filter((fault) => fault.kind !== kind)
  }

  /** The fault that shapes this request, if any; uses up one of its count. */
  take(path: string): Fault | null {
    if (this.#faults.length === 0) return null
    return this.#take((fault) => requestKinds.has(fault.kind) && (fault.path === undefined || fault.path === path))
  }

  /** The same for one kind that is not about a single answer. */
  takeKind(kind: FaultKind, path: string): Fault | null {
    if (this.#faults.length === 0) return null
    return this.#take((fault) => fault.kind === kind && (fault.path === undefined || fault.path === path))
  }

  #take(matches: (fault: Fault) => boolean): Fault | null {
    const nowMs = this.#ticker.nowMs()
    this.#faults = this.#faults.filter((fault) => fault.left > 0 && fault.untilMs > nowMs)
    const fault = this.#faults.find(matches)
    if (fault === undefined) return null
    fault.left -= 1
    return fault
  }
}
