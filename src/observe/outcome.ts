/** The closed set of outcomes that metrics and the access log use, and how an answer's end maps to it. */
import { assertNever } from '../base/assert.ts'
import type { CorralError, ErrorCode } from '../core/errors.ts'
import type { Outcome } from '../core/relay.ts'

export const outcomeLabels = [
  'ok',
  'client_error',
  'client_gone',
  'queue_full',
  'queue_timeout',
  'no_node',
  'draining',
  'node_error',
  'node_timeout',
  'truncated',
  'internal',
] as const

export type OutcomeLabel = (typeof outcomeLabels)[number]

/** Codes whose outcome is not told by their fault alone. */
const byCode: Readonly<Partial<Record<ErrorCode, OutcomeLabel>>> = {
  queue_full: 'queue_full',
  queue_timeout: 'queue_timeout',
  no_node: 'no_node',
  draining: 'draining',
  node_timeout: 'node_timeout',
  stream_stalled: 'node_timeout',
  stream_truncated: 'truncated',
  client_gone: 'client_gone',
  client_too_slow: 'client_gone',
}

/** How a request ended that had no answer. */
export function errorOutcome(error: CorralError): OutcomeLabel {
  const known = byCode[error.code]
  if (known !== undefined) return known
  switch (error.fault) {
    case 'client':
      return 'client_error'
    case 'node':
      return 'node_error'
    case 'gateway':
      return 'internal'
    case 'nobody':
      return 'client_gone'
    default:
      return assertNever(error.fault)
  }
}

/** How an answer ended. */
export function outcomeLabel(outcome: Outcome): OutcomeLabel {
  const { kind, error } = outcome
  switch (kind) {
    case 'ok':
    case 'client_error':
    case 'client_gone':
    case 'internal':
      return kind
    case 'rejected':
      return error === null ? 'internal' : errorOutcome(error)
    case 'node_error':
    case 'truncated':
      return error?.code === 'node_timeout' || error?.code === 'stream_stalled' ? 'node_timeout' : kind
    default:
      return assertNever(kind)
  }
}

/** How an exchange ended that answered with this status; null: its client left before there was one. */
export function statusOutcome(status: number | null): OutcomeLabel {
  if (status === null) return 'client_gone'
  if (status < 400) return 'ok'
  return status < 500 ? 'client_error' : 'internal'
}
