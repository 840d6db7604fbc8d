/** Answers that the fleet makes itself out of several nodes' answers. */
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Answer, WholeAnswer } from '../../core/relay.ts'
import type { RouteFacts } from '../../core/route.ts'
import { responseHeaders } from '../../wire/request-headers.ts'
import type { FleetNode } from '../node.ts'
import type { ResponseHeaders } from '../transport.ts'

/** Content type of a whole JSON answer, as a node of this dialect sends it (transcripts 039, 054). */
export function jsonHeaders(route: RouteFacts): Record<string, string> {
  return { 'content-type': route.dialect === 'ollama' ? 'application/json; charset=utf-8' : 'application/json' }
}

interface WholeParts {
  readonly status?: number
  readonly headers: Answer['headers']
  readonly body: Buffer
  /** How the answer came about: `aggregate`, `broadcast`, … */
  readonly reason: string
  readonly node?: string | null
  readonly attempts?: number
}

/** A complete answer by the fleet. */
export function wholeAnswer(call: Call, { status = 200, headers, body, reason, node = null, attempts = 1 }: WholeParts): WholeAnswer {
  return {
    kind: 'whole',
    status,
    headers,
    body,
    provenance: { node, reason, attempts, dispatchedAtMs: call.receivedAtMs },
    outcome: { kind: status < 400 ? 'ok' : 'client_error', usage: null, frames: 0, bytes: body.length, error: null },
  }
}

/** What one node said to its part of an operation. */
export interface NodeResult {
  readonly node: FleetNode
  readonly status: number
  readonly headers: ResponseHeaders
  readonly body: Buffer
  /** Why there is no answer; null when there is one. */
  readonly failure: string | null
}

/** A node that is down by its probes and silent for this long has lost its part. */
const silentOnDownNodeMs = 1_500

/** Why a node that has been silent for `silentMs` has lost its part of an operation, being down; null while it has not. */
export function downFor({ up, downReason }: FleetNode, silentMs: number): string | null {
  return up === false && silentMs > silentOnDownNodeMs ? `went down (${downReason ?? 'no answer'})` : null
}

/** A node's answer passed on. */
export function relayResult(call: Call, result: NodeResult, reason: string): WholeAnswer {
  const { node, status, headers, body } = result
  return wholeAnswer(call, { status, headers: responseHeaders(headers), body, reason, node: node.name })
}

/** Nodes that can be asked at all for a caller of `group` (null: any). Throws `no_node` when there are none. */
export function usableNodes(nodes: readonly FleetNode[], group: string | null): readonly FleetNode[] {
  const own = group === null ? nodes : nodes.filter(({ options }) => options.group === group)
  const usable = own.filter((node) => node.up !== false && !node.draining)
  if (usable.length > 0) return usable
  const reasons = own.map((node) => `${node.name}: ${node.draining ? 'draining' : (node.downReason ?? 'not probed yet')}`)
  const which = group === null ? 'no node' : `no node of the group ${group}`
  const details = reasons.length === 0 && group !== null ? 'it has none' : reasons.join('; ')
  throw new CorralError('no_node', `${which} can answer now (${details})`, { retryAfterMs: 1_000 })
}
