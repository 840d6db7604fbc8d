/** What answering a request on a node's route needs: the one exchange, and what all of them share. */
import type { IncomingMessage, ServerResponse } from 'node:http'

import type { Clock } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import type { CorralError } from '../../core/errors.ts'
import type { Principal } from '../../core/principal.ts'
import type { Relay } from '../../core/relay.ts'
import type { RouteFacts } from '../../core/route.ts'
import type { Explanations } from '../../observe/explained.ts'
import type { Phases } from '../../observe/phases.ts'
import type { Tracer } from '../../observe/trace.ts'
import type { RequestHeaders } from '../../wire/request-headers.ts'
import type { Guard } from '../auth/guard.ts'
import type { CallRegistry } from '../call-registry.ts'
import type { HttpOptions } from '../options.ts'

export interface InferenceDeps {
  readonly relay: Relay
  readonly calls: CallRegistry
  readonly clock: Clock
  readonly options: () => HttpOptions
  /** Milliseconds a request may wait for its first frame. */
  readonly deadlineMs: () => number
  readonly newId: () => string
  readonly tracer: Tracer
  readonly explanations: Explanations
  readonly phases: Phases
  /** Reports a request that ended before the relay saw it. */
  readonly onRefused: (request: { readonly facts: RouteFacts; readonly method: string }, error: CorralError, call: Call) => void
  readonly guard: Pick<Guard, 'noteRefusal'>
  readonly onBug: (error: unknown, call: Call) => void
}

/** One exchange with a client. */
export interface Exchange {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly headers: RequestHeaders
  readonly facts: RouteFacts
  /** Canonical path of the matched route with its parameters, without query. */
  readonly path: string
  readonly principal: Principal
  /** Monotonic ms, before anybody asked who it is. */
  readonly arrivedAtMs: number
  /** Model named in the path, if the route has one there. */
  readonly pathModel: string | null
}
