/**
 * Watches the memory of the process against its limit and turns requests away at the door while it runs short. The limit is
 * `http.memoryBytesMax`, else what the container may use, else there is none and nothing is watched. Memory is read once a
 * second, never per request. Only Ollama's routes are turned away: probes, metrics and operators are answered always.
 */
import { totalmem } from 'node:os'

import type { Clock, Timer } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import type { Operation } from '../core/route.ts'
import { matchRoute } from '../wire/routes.ts'
import { levelOf, type MemoryStep, nextStep } from './memory-ladder.ts'

/** Where the figures come from: the process itself, or a test. */
export interface MemoryReader {
  /** Resident bytes of the process. */
  usedBytes(): number
  /** Bytes the process may use as the system says; null when only the machine bounds it. */
  systemLimitBytes(): number | null
}

/** Hears of the steps. Called from a timer and from the door; must not throw. */
export interface MemoryEvents {
  memoryStepChanged(step: MemoryStep, level: number, bytes: { readonly used: number; readonly limit: number }): void
  memoryRefused(step: MemoryStep): void
}

export interface MemoryGuardDeps {
  readonly clock: Clock
  /** 0: what the system says. */
  readonly limitBytes: number
  readonly reader: MemoryReader
  readonly events: MemoryEvents | null
}

/** A request as far as the guard judges it. */
export interface GuardedRequest {
  readonly method: string
  /** With or without a query. */
  readonly target: string
  readonly priority: string | null
}

const sampleEveryMs = 1_000
/** Long enough for some answers to end, short enough that a client waits for it. */
const retryAfterMs = 5_000

/** Memory as Node reports it. A cgroup without a limit reads as 0 or as far more than the machine has. */
export const processMemory: MemoryReader = {
  usedBytes: () => process.memoryUsage.rss(),
  systemLimitBytes() {
    const bytes = process.constrainedMemory()
    return bytes > 0 && bytes < totalmem() ? bytes : null
  },
}

export class MemoryGuard {
  readonly #deps: MemoryGuardDeps
  readonly #limitBytes: number | null
  #timer: Timer | null = null
  #step: MemoryStep = 'normal'

  constructor(deps: MemoryGuardDeps) {
    this.#deps = deps
    this.#limitBytes = deps.limitBytes > 0 ? deps.limitBytes : deps.reader.systemLimitBytes()
  }

  get step(): MemoryStep {
    return this.#step
  }

  /** Begins to sample; does nothing without a limit. */
  start(): void {
    if (this.#limitBytes !== null) this.#sample(this.#limitBytes)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** Whether answers end their connection now, so that its buffers are given back. */
  get shedsConnections(): boolean {
    return levelOf(this.#step) >= levelOf('close')
  }

  /**
   * The refusal of a request, null when it may pass. `isBusy`: whether others are being answered. When none is, the memory is
   * not theirs to give back, and a process that refused everything could never show that it has become smaller.
   */
  refusal(request: GuardedRequest, isBusy: boolean): CorralError | null {
    if (this.#step === 'normal' || !isBusy) return null
    const operation = operationOf(request)
    if (operation === null) return null
    const isDeferrable = operation === 'embed' || request.priority === 'batch'
    if (this.#step !== 'refuse' && !isDeferrable) return null
    this.#deps.events?.memoryRefused(this.#step)
    const what = this.#step === 'refuse' ? 'no new requests are taken' : 'no embeddings and no batch requests are taken'
    return new CorralError('overloaded', `the gateway is short of memory: ${what} (http.memoryBytesMax)`, { retryAfterMs })
  }

  #sample(limitBytes: number): void {
    const usedBytes = this.#deps.reader.usedBytes()
    const step = nextStep(this.#step, usedBytes / limitBytes)
    if (step !== this.#step) {
      this.#step = step
      this.#deps.events?.memoryStepChanged(step, levelOf(step), { used: usedBytes, limit: limitBytes })
    }
    this.#timer = this.#deps.clock.after(sampleEveryMs, () => this.#sample(limitBytes))
  }
}

/** What a request asks of the nodes; null for what costs nothing: Corral's own routes, wrong methods, redirects. */
function operationOf({ method, target }: GuardedRequest): Operation | null {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  const match = matchRoute(method, path)
  if (match.kind === 'route') return match.facts.placement === 'local' ? null : match.facts.operation
  const isRelayed = match.kind === 'unknown' && (path.startsWith('/api/') || path.startsWith('/v1/'))
  return isRelayed ? 'other' : null
}
