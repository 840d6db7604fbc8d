/**
 * What replicas send each other through Redis, checked where it arrives: the sender may be of another version. Of an answer only what is
 * added up or compared is looked at; the rest passes through to whoever asked.
 */
import { z } from 'zod'

import type { FleetSnapshot } from '../fleet/snapshot.ts'
import type { ExplainedRequest } from '../observe/explained.ts'
import type { CallSnapshot } from './admin/snapshot-call.ts'
import type { PeerAnswer, PeerQuestion } from './peers.ts'

const idLengthMax = 256
const text = z.string().max(idLengthMax)
const count = z.number()
const countOrNull = z.number().nullable()

/** The questions that cross replicas. */
const question = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('fleet') }),
  z.object({ kind: z.literal('requests') }),
  z.object({ kind: z.literal('totals') }),
  z.object({ kind: z.literal('live') }),
  z.object({ kind: z.literal('explain'), id: text }),
  z.object({ kind: z.literal('cancel'), id: text }),
  // What changed is in the store: what comes through Redis may make nobody add a node.
  z.object({ kind: z.literal('node-changed'), changes: z.null(), putBack: text.nullable() }),
])

export const questionMessage = z.object({ from: text, machine: text, id: count, question })
export type QuestionMessage = z.infer<typeof questionMessage>

/** The question as it is put to replicas; null: it stays on this machine. */
export function acrossReplicas(asked: PeerQuestion): QuestionMessage['question'] | null {
  const parsed = question.safeParse(asked.kind === 'node-changed' ? { ...asked, changes: null } : asked)
  return parsed.success ? parsed.data : null
}

const runner = z.looseObject({ model: z.string(), inFlight: count, streaming: count, standing: count, slots: countOrNull })

const node = z.looseObject({
  name: z.string(),
  up: z.boolean().nullable(),
  downReason: z.string().nullable(),
  lastFailure: z.looseObject({ reason: z.string(), agoMs: count }).nullable(),
  version: z.string().nullable(),
  draining: z.boolean(),
  breaker: z.enum(['closed', 'half_open', 'open']),
  ejectedForMs: count,
  lastSeenAgoMs: countOrNull,
  overloadedForMs: count,
  inFlight: count,
  models: z.array(z.string()).nullable(),
  runners: z.array(runner),
})

const pool = z.looseObject({ model: z.string(), queued: count, queueMax: count, slots: countOrNull, etaMs: count })
const fleetShape = z.looseObject({ nodes: z.array(node), pools: z.array(pool), activeAttempts: count })

const nodeTotals = z.object({ tries: count, failed: count, ttft: z.array(count) })
const totals = z.object({
  requests: count,
  failed: count,
  outputTokens: count,
  ttft: z.array(count),
  nodes: z.record(z.string(), nodeTotals),
  queued: count,
  inFlight: count,
})

const explainedShape = z.looseObject({ id: z.string(), tenant: z.string(), subject: z.string().nullable(), steps: z.array(z.unknown()) })

function isOf(shape: z.ZodType): (value: unknown) => boolean {
  return (value) => shape.safeParse(value).success
}

const answer = z.object({
  fleet: z.custom<FleetSnapshot>(isOf(fleetShape)).exactOptional(),
  requests: z.array(z.custom<CallSnapshot>(isOf(z.looseObject({ id: z.string() })))).exactOptional(),
  requestsLeftOut: count.exactOptional(),
  counted: z.object({ process: text, totals }).exactOptional(),
  cancelled: z.boolean().exactOptional(),
  explained: z.custom<ExplainedRequest>(isOf(explainedShape.nullable())).nullable().exactOptional(),
})

export const answerMessage = z.object({ from: text, id: count, answer })

/** What of an answer crosses replicas. */
export function answerAcross({ fleet, requests, counted, cancelled, explained }: PeerAnswer, requestsMax: number): PeerAnswer {
  const leftOut = Math.max(0, (requests?.length ?? 0) - requestsMax)
  return {
    ...(fleet === undefined ? {} : { fleet }),
    ...(requests === undefined ? {} : { requests: requests.slice(0, requestsMax), requestsLeftOut: leftOut }),
    ...(counted === undefined ? {} : { counted }),
    ...(cancelled === undefined ? {} : { cancelled }),
    ...(explained === undefined ? {} : { explained }),
  }
}
