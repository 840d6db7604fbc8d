/**
 * `GET /admin/live`: what the console shows, pushed. One event a second, made once however many listen, and none while nobody
 * does. `state` has the fleet, the requests under way and the rates of now; `series` the last quarter of an hour, at the start and
 * whenever it has grown. A listener that does not keep up is dropped; it comes back by itself and gets the present.
 */
import type { Context, Hono } from 'hono'
import type { ServerResponse } from 'node:http'

import type { Timer } from '../../base/clock.ts'
import { CorralError } from '../../core/errors.ts'
import { snapshotFleet } from '../../fleet/snapshot.ts'
import type { Metrics } from '../../observe/metrics.ts'
import type { Overview } from '../../observe/overview.ts'
import { ownRoute } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import type { AdminDeps } from './admin.ts'
import { snapshotCall } from './snapshot-call.ts'

const tickMs = 1_000
const listenersMax = 64
/** Requests in one event; the rest is in `/admin/requests`. */
const requestsMax = 500
/** What a listener may leave unread: some seconds of events of a large fleet. */
const unreadBytesMax = 4_194_304

export interface LiveDeps extends AdminDeps {
  readonly overview: Pick<Overview, 'now' | 'nodes' | 'points'>
  readonly metrics: Metrics
}

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>
  readonly outgoing: ServerResponse
}

export class LiveFeed {
  readonly #deps: LiveDeps
  readonly #listeners = new Set<Listener>()
  #timer: Timer | null = null
  #lastPointAtMs = 0

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
          own = { controller, outgoing }
          this.#listeners.add(own)
          controller.enqueue(event('series', { points: this.#deps.overview.points() }))
          controller.enqueue(this.#state())
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
      this.#tick()
      this.#timer = this.#listeners.size === 0 ? null : this.#wait()
    })
  }

  #tick(): void {
    if (this.#listeners.size === 0) return
    const points = this.#deps.overview.points()
    const lastAtMs = points.at(-1)?.atMs ?? 0
    if (lastAtMs !== this.#lastPointAtMs) {
      this.#lastPointAtMs = lastAtMs
      this.#send(event('series', { points }))
    }
    this.#send(this.#state())
  }

  #send(bytes: Uint8Array): void {
    for (const listener of this.#listeners) {
      const { controller, outgoing } = listener
      if ((controller.desiredSize ?? 0) > 0) {
        controller.enqueue(bytes)
        continue
      }
      this.#listeners.delete(listener)
      outgoing.destroy()
    }
  }

  #state(): Uint8Array {
    const { fleet, calls, clock, overview } = this.#deps
    const nowMs = clock.nowMs()
    const under = calls.list()
    return event('state', {
      atMs: clock.wallMs(),
      fleet: snapshotFleet(fleet, nowMs),
      nodeRates: overview.nodes(),
      requests: under.slice(0, requestsMax).map((listed) => snapshotCall(listed, nowMs)),
      requestsTotal: under.length,
      overview: overview.now(),
    })
  }
}

function event(name: string, data: object): Uint8Array {
  return Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
}

/** Adds the route. Must come before `/admin/*` as a whole. */
export function mountLive(app: Hono<NodeBindings>, deps: AdminDeps & { readonly live: LiveFeed }): void {
  app.get(
    '/admin/live',
    ownRoute(deps, (context) => deps.live.listen(context)),
  )
}
