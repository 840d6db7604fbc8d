/** A cache on a clock moved by hand, in front of a scripted upstream. */
import { onTestFinished } from 'vitest'

import type { Call } from '../../src/core/call.ts'
import type { Answer, Relay } from '../../src/core/relay.ts'
import { type Cache, type CacheDeps, createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { type ManualClock, manualClock } from '../fleet/manual-clock.ts'
import { type Body, type CallOptions, newCall, requestOf, shown } from './ask.ts'
import { scriptedUpstream, type Upstream, type UpstreamCall } from './scripted.ts'

export interface Cached {
  readonly clock: ManualClock
  readonly cache: Cache
  readonly upstream: Upstream
  readonly relay: Relay
  /** Digests by canonical name; changing one is what a pull does. */
  readonly digests: Map<string, string>
  /** Sends a request; `call` to lead it further. */
  ask(body: Body, options?: AskOptions): Promise<Answer>
}

export interface AskOptions extends CallOptions {
  readonly path?: string
  readonly headers?: readonly string[]
  readonly call?: Call
}

export interface CachedOptions extends Partial<Omit<CacheDeps, 'options' | 'clock'>> {
  readonly options?: Readonly<Record<string, unknown>>
  readonly clock?: ManualClock
  readonly onCall?: (call: UpstreamCall, index: number) => void
}

export const secret = Buffer.alloc(32, 7)

/** A fleet with one build of every model. */
export const oneBuild = {
  digestOf: () => 'd1',
  digestsOf: () => ['d1'],
  engineEpoch: () => '0.33',
}

/** Replays are the first answer byte for byte unless `options` say otherwise. */
export function cached({ options = {}, clock = manualClock(), onCall, ...deps }: CachedOptions = {}): Cached {
  const parsed = cacheOptions.parse({ replay: { fresh: false }, ...options })
  const upstream = scriptedUpstream(clock, onCall)
  const digests = new Map([['llama3:latest', 'd1']])
  const cache = createCache({
    options: () => parsed,
    clock,
    random: () => 0.5,
    secret,
    digestOf: (model) => digests.get(model) ?? null,
    digestsOf: (model) => [digests.get(model)].filter((digest) => digest !== undefined),
    engineEpoch: () => '0.33',
    ...deps,
  })
  onTestFinished(() => cache.close())
  const relay = cache.layer(upstream.relay)
  return {
    clock,
    cache,
    upstream,
    relay,
    digests,
    ask(body, { path = '/api/chat', headers = [], call, ...callOptions } = {}) {
      const asking = call ?? newCall(callOptions)
      return shown(relay(requestOf(path, body, headers), asking), asking)
    },
  }
}

/** A native chat that may be cached. */
export function chat(content: string, more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return { model: 'llama3', messages: [{ role: 'user', content }], options: { temperature: 0 }, ...more }
}

/** Lets every promise that is ready run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
}
