/** What the commands read of `GET /admin/fleet`. Unknown fields pass, so that a newer gateway can be asked too. */
import { z } from 'zod'

const nodeView = z.object({
  name: z.string(),
  url: z.string(),
  up: z.boolean().nullable(),
  downReason: z.string().nullable(),
  version: z.string().nullable(),
  draining: z.boolean(),
  breaker: z.string(),
  lastSeenAgoMs: z.number().nullable(),
  inFlight: z.number(),
  models: z.array(z.string()).nullable(),
  loaded: z.array(
    z.object({ model: z.string(), vramBytes: z.number(), contextLength: z.number().nullable(), expiresAt: z.string().nullable() }),
  ),
  runners: z.array(
    z.object({
      model: z.string(),
      inFlight: z.number(),
      slots: z.number().nullable(),
      resident: z.boolean(),
      loading: z.object({ sinceMs: z.number(), remainingMs: z.number() }).nullable(),
      decodeMsPerToken: z.number().nullable(),
    }),
  ),
})

export const fleetView = z.object({
  nodes: z.array(nodeView),
  pools: z.array(
    z.object({ model: z.string(), queued: z.number(), queueMax: z.number(), slots: z.number().nullable(), etaMs: z.number() }),
  ),
  drift: z.array(z.object({ model: z.string(), digests: z.record(z.string(), z.array(z.string())) })),
  activeAttempts: z.number(),
  changedByHand: z.array(z.object({ name: z.string(), kind: z.string() })).default([]),
  coverage: z.object({ silent: z.number(), redisAway: z.boolean() }).default({ silent: 0, redisAway: false }),
})

export type NodeView = z.infer<typeof nodeView>
export type FleetView = z.infer<typeof fleetView>

/** One word for the state of a node: what an operator acts on comes first. */
export function nodeState({
  up,
  draining,
  breaker,
}: Pick<NodeView, 'up' | 'draining' | 'breaker'>): 'up' | 'down' | 'unknown' | 'draining' | 'ejected' | 'probation' {
  if (up === null) return 'unknown'
  if (!up) return 'down'
  if (draining) return 'draining'
  if (breaker === 'open') return 'ejected'
  return breaker === 'half_open' ? 'probation' : 'up'
}
