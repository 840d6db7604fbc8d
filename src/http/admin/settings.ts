/**
 * `/admin/config`, `/admin/features`, `/admin/dependencies` and `/admin/support-bundle`: what is in force and where it comes from, what can
 * be switched while Corral runs, what it stands on, and all of that as one file without secrets to send to somebody who helps.
 */
import type { Context, Hono } from 'hono'
import { z } from 'zod'

import type { Clock } from '../../base/clock.ts'
import type { Dependency, OperatorSettings } from '../../core/operator-settings.ts'
import { type FleetView, snapshotFleet } from '../../fleet/snapshot.ts'
import type { Act } from '../../identity/key-store.ts'
import type { Guard } from '../auth/guard.ts'
import type { NodeBindings } from '../server.ts'
import type { RenderMetrics } from '../peer-answers.ts'
import { noPeers, type Peers } from '../peers.ts'
import { actOf, json, ownRoute, type OwnRouteDeps, parameter, readJson, sameSite } from '../own-route.ts'
import { wholeFleet } from '../whole-fleet.ts'
import { supportBundle } from './support-bundle.ts'

export interface SettingsRoutesDeps extends OwnRouteDeps {
  readonly fleet: FleetView
  readonly peers?: Peers
  readonly clock: Clock
  readonly guard: Guard
  readonly settings: OperatorSettings
  readonly version: string
  readonly renderMetrics: RenderMetrics
  /** Looks at what the gateway stands on. */
  readonly look: () => Promise<readonly Dependency[]>
  readonly onChange?: (action: string, target: string, act: Act) => void
}

const switchShape = z.strictObject({ on: z.boolean() })

/** Adds the routes. Must come before `/admin/*` as a whole. */
export function mountSettings(app: Hono<NodeBindings>, deps: SettingsRoutesDeps): void {
  const { settings, version, fleet, clock, peers = noPeers } = deps
  const switchTo = async (context: Context<NodeBindings>, on: boolean | null): Promise<Response> => {
    const act = actOf(context, deps)
    const state = await settings.switchFeature(parameter(context, 'name'), on, act.by.subject ?? act.by.method)
    deps.onChange?.(on === null ? 'switch back' : on ? 'switch on' : 'switch off', state.name, act)
    return json(context, state)
  }
  app.get(
    '/admin/config',
    ownRoute(deps, (context) => json(context, { version, ...settings.page() })),
  )
  app.get(
    '/admin/features',
    ownRoute(deps, (context) => json(context, { features: settings.features() })),
  )
  app.put(
    '/admin/features/:name',
    ownRoute(
      deps,
      sameSite(async (context) => {
        const { on } = await readJson(context, { clock, what: 'switch', shape: switchShape })
        return switchTo(context, on)
      }),
    ),
  )
  app.delete(
    '/admin/features/:name',
    ownRoute(
      deps,
      sameSite((context) => switchTo(context, null)),
    ),
  )
  app.get(
    '/admin/dependencies',
    ownRoute(deps, async (context) => json(context, { dependencies: await deps.look() })),
  )
  app.get(
    '/admin/support-bundle',
    ownRoute(deps, async (context) => {
      const looks = [deps.look(), deps.renderMetrics('text'), peers.ask({ kind: 'fleet' })] as const
      const [dependencies, { body }, others] = await Promise.all(looks)
      const seen = others.flatMap((other) => other.fleet ?? [])
      const madeAt = new Date(clock.wallMs()).toISOString()
      const bundle = supportBundle({
        madeAt,
        version,
        config: settings.page(),
        features: settings.features(),
        fleet: wholeFleet(snapshotFleet(fleet, clock.nowMs()), seen),
        dependencies,
        metrics: body,
      })
      context.header('content-disposition', `attachment; filename="corral-support-${madeAt.slice(0, 19).replaceAll(':', '')}.json"`)
      return json(context, bundle)
    }),
  )
}
