/**
 * `/admin/cache`: what the caches hold and did, and taking things out. A purge that does not say `"dryRun": false` only counts, and one
 * without a condition means everything and must say so.
 */
import type { Hono } from 'hono'
import { z } from 'zod'

import type { Clock } from '../../base/clock.ts'
import { cacheKinds } from '../../cache/key.ts'
import { type Cache, wholePurge } from '../../cache/layer.ts'
import { CorralError } from '../../core/errors.ts'
import type { Act } from '../../identity/key-store.ts'
import { canonicalModelName } from '../../wire/model-name.ts'
import type { Guard } from '../auth/guard.ts'
import type { NodeBindings } from '../server.ts'
import { noPeers, type Peers } from '../peers.ts'
import { actOf, json, ownRoute, type OwnRouteDeps, readJson, sameSite } from '../own-route.ts'

export interface CacheRoutesDeps extends OwnRouteDeps {
  readonly cache: Pick<Cache, 'stats' | 'purge'>
  readonly guard: Guard
  readonly clock: Clock
  /** The other workers, whose memory is purged too. */
  readonly peers?: Peers
  readonly onChange?: (action: string, target: string, act: Act) => void
}

const purgeShape = z.strictObject({
  tenant: z.string().min(1).max(64).exactOptional(),
  model: z.string().min(1).max(350).exactOptional(),
  kind: z.enum(cacheKinds).exactOptional(),
  key: z
    .string()
    .regex(/^[\da-f]{64}$/)
    .exactOptional(),
  /** Stands for "no condition". */
  all: z.boolean().default(false),
  dryRun: z.boolean().default(true),
})

/** Adds the routes. Must come before `/admin/*` as a whole. */
export function mountCache(app: Hono<NodeBindings>, deps: CacheRoutesDeps): void {
  const { peers = noPeers } = deps
  app.get(
    '/admin/cache',
    ownRoute(deps, (context) => json(context, deps.cache.stats())),
  )
  app.post(
    '/admin/cache/purge',
    ownRoute(
      deps,
      sameSite(async (context) => {
        const { dryRun, all, model, ...conditions } = await readJson(context, { clock: deps.clock, what: 'purge', shape: purgeShape })
        const selector = { ...conditions, ...(model === undefined ? {} : { model: canonicalModelName(model) }) }
        const isWide = Object.keys(selector).length === 0
        if (isWide !== all) {
          const advice = isWide ? 'name a tenant, model, kind or key, or say "all": true' : '"all" goes with no other condition'
          throw new CorralError('invalid_request', `purge: ${advice}`)
        }
        const own = await deps.cache.purge(selector, { dryRun })
        const others = await peers.ask({ kind: 'purge', selector, dryRun })
        if (!dryRun) deps.onChange?.('purge cache', JSON.stringify(selector), actOf(context, deps))
        const result = wholePurge([own, ...others.flatMap(({ purged = [] }) => purged)])
        return json(context, { ...result, shared: result.shared && !others.some(({ silent }) => silent !== undefined) })
      }),
    ),
  )
}
