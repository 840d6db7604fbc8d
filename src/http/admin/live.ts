/**
 * `GET /admin/live`: what the console shows, pushed. One event a second, made once however many listen, and none while nobody
 * does. `state` has the fleet, the requests under way and the rates of now; `series` the last quarter of an hour, at the start and
 * whenever it has grown; `dependencies` what the gateway stands on, at the start and every ten seconds. A listener that does not keep up is
 * dropped; it comes back by itself and gets the present. After a minute a stream is over and asks its listener (`renew`) to come again: so
 * nobody sees more for longer who has been refused since.
 */
import type { Context, Hono } from 'hono'
import type { ServerResponse } from 'node:http'

import type { Timer } from '../../base/clock.ts'
import { CorralError } from '../../core/errors.ts'
import type { Dependency } from '../../core/operator-settings.ts'
import { type FleetView, snapshotFleet } from '../../fleet/snapshot.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Overview } from '../../observe/overview.ts'
import { ownRoute, type OwnRouteDeps } from '../own-route.ts'
import { byProcess, leftOutOf } from '../peer-answers.ts'
import { coverageOf, noPeers, type ProcessTotals } from '../peers.ts'
import type { NodeBindings } from '../server.ts'
import { wholeFleet } from '../whole-fleet.ts'
import type { AdminDeps } from './admin.ts'
import { snapshotCalls } from './snapshot-call.ts'

const tickMs = 1_000
/** How often the stores are looked at while somebody listens. */
const lookTicks = 10
/** How long what a listener was let in by may have been taken back. */
const lifeMsMax = 60_000
const listenersMax = 64
/** Requests in one event; the rest is in `/admin/requests`. */
const requestsMax = 500
/** What a listener may leave unread: some seconds of events of a large fleet. */
const unreadBytesMax = 4_194_304

export interface LiveDeps extends Pick<AdminDeps, 'calls' | 'clock' | 'peers'> {
  readonly fleet: FleetView
  readonly overview: Pick<Overview, 'now' | 'nodes' | 'points'>
  /** Of this process alone. */
  readonly counted: () => ProcessTotals
  readonly metrics: Metrics
  /** Looks at what the gateway stands on; never rejects. */
  readonly look: () => Promise<readonly Dependency[]>
}

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>
  readonly outgoing: ServerResponse
  /** Monotonic milliseconds. */
  readonly overAtMs: number
}

export class LiveFeed {
  readonly #deps: LiveDeps
  readonly #listeners = new Set<Listener>()
  #timer: Timer | null = null
  #lastPointAtMs = 0
  #ticks = 0

  constructor(deps: LiveDeps) {
    this.#deps = deps
    const clients = deps.metrics.families.sseClients.child()
    deps.metrics.addSource(() => {
      clients.value = this.#listeners.size
    })
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** A stream for one more listener. Throws `overloaded` when there are too many. */
  listen({ env: { outgoing } }: Context<NodeBindings>): Response {
    if (this.#listeners.size >= listenersMax) {
      throw new CorralError('overloaded', `${listenersMax} listeners follow the gateway already`, { retryAfterMs: 10_000 })
    }
    let own: Listener | null = null
    const leave = (): void => {
      if (own !== null) this.#listeners.delete(own)
    }
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const listener = { controller, outgoing, overAtMs: this.#deps.clock.nowMs() + lifeMsMax }
          own = listener
          this.#listeners.add(listener)
          controller.enqueue(event('series', { points: this.#deps.overview.points() }))
          void this.#state().then((bytes) => this.#send(bytes, [listener]))
          void this.#look([listener])
          this.#timer ??= this.#wait()
        },
        cancel: leave,
      },
      new ByteLengthQueuingStrategy({ highWaterMark: unreadBytesMax }),
    )
    // Nobody reads, nor cancels, the body of an answer to HEAD.
    outgoing.on('close', leave)
    return new Response(body, {
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
    })
  }

  /** Ends all streams. */
  close(): void {
    for (const { controller } of this.#listeners) controller.close()
    this.#listeners.clear()
    this.#timer?.cancel()
    this.#timer = null
  }

  #wait(): Timer {
    return this.#deps.clock.after(tickMs, () => {
      void this.#tick()
      this.#timer = this.#listeners.size === 0 ? null : this.#wait()
    })
  }

  async #tick(): Promise<void> {
    if (this.#listeners.size === 0) return
    this.#ticks += 1
    // A store that hangs keeps nothing else back.
    if (this.#ticks % lookTicks === 0) void this.#look(this.#listeners)
    const points = this.#deps.overview.points()
    const lastAtMs = points.at(-1)?.atMs ?? 0
    if (lastAtMs !== this.#lastPointAtMs) {
      this.#lastPointAtMs = lastAtMs
      this.#send(event('series', { points }), this.#listeners)
    }
    this.#send(await this.#state(), this.#listeners)
    this.#renew()
  }

  async #look(listeners: Iterable<Listener>): Promise<void> {
    this.#send(event('dependencies', { dependencies: await this.#deps.look() }), listeners)
  }

  #renew(): void {
    const nowMs = this.#deps.clock.nowMs()
    for (const listener of this.#listeners) {
      if (nowMs < listener.overAtMs) continue
      this.#send(event('renew', {}), [listener])
      if (this.#listeners.delete(listener)) listener.controller.close()
    }
  }

  #send(bytes: Uint8Array, listeners: Iterable<Listener>): void {
    for (const listener of listeners) {
      const { controller, outgoing } = listener
      if (!this.#listeners.has(listener)) continue
      if ((controller.desiredSize ?? 0) > 0) {
        controller.enqueue(bytes)
        continue
      }
      this.#listeners.delete(listener)
      outgoing.destroy()
    }
  }

  async #state(): Promise<Uint8Array> {
    const { fleet, calls, clock, overview, counted, peers = noPeers } = this.#deps
    const others = await peers.ask({ kind: 'live' })
    const nowMs = clock.nowMs()
    const requests = [...snapshotCalls(calls, nowMs), ...others.flatMap((other) => other.requests ?? [])]
    const totals = byProcess([counted(), ...others.flatMap((other) => other.counted ?? [])])
    return event('state', {
      atMs: clock.wallMs(),
      fleet: wholeFleet(
        snapshotFleet(fleet, nowMs),
        others.flatMap((other) => other.fleet ?? []),
      ),
      nodeRates: overview.nodes(totals),
      requests: requests.slice(0, requestsMax),
      requestsTotal: requests.length + leftOutOf(others),
      coverage: coverageOf(others),
      overview: overview.now(totals),
    })
  }
}

function event(name: string, data: object): Uint8Array {
  return Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
}

/** Adds the route. Must come before `/admin/*` as a whole. */
export function mountLive(app: Hono<NodeBindings>, deps: OwnRouteDeps & { readonly live: LiveFeed }): void {
  app.get(
    '/admin/live',
    ownRoute(deps, (context) => deps.live.listen(context)),
  )
}
