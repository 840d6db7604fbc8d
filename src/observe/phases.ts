/**
 * Which part of the gateway took how long: a request crosses boundaries on its way to a node, and what went by since the last one is the
 * time of the part between. A request that is answered on its way crosses no more of them.
 */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import type { RelayLayer } from '../core/relay.ts'
import type { Metrics, OverheadPhase } from './metrics.ts'

export interface PhasesDeps {
  readonly clock: Clock
  readonly metrics: Pick<Metrics, 'overhead'>
}

export class Phases {
  readonly #deps: PhasesDeps

  constructor(deps: PhasesDeps) {
    this.#deps = deps
  }

  /** `phase` of the call is over. The first boundary of a call that did not come from outside begins its count. */
  readonly passed = ({ progress }: Pick<Call, 'progress'>, phase: OverheadPhase): void => {
    const nowMs = this.#deps.clock.nowMs()
    if (progress.boundaryAtMs !== null) this.#deps.metrics.overhead[phase].observe((nowMs - progress.boundaryAtMs) / 1_000)
    progress.boundaryAtMs = nowMs
  }

  /** A layer from which on the next part is counted; what went before, a search of an assistant's say, is nobody's. */
  readonly begin: RelayLayer = (next) => (request, call) => {
    call.progress.boundaryAtMs = this.#deps.clock.nowMs()
    return next(request, call)
  }

  /** A layer at the end of `phase`. */
  boundary(phase: OverheadPhase): RelayLayer {
    return (next) => (request, call) => {
      this.passed(call, phase)
      return next(request, call)
    }
  }
}
