/** A cache of embeddings before a scripted node, on a clock moved by hand. */
import { onTestFinished } from 'vitest'

import { type Cache, type CacheDeps, createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import type { SecondLayer } from '../../src/cache/second-layer.ts'
import { type ManualClock, manualClock } from '../fleet/manual-clock.ts'
import { newCall, requestOf, shown, type Taken, take } from './ask.ts'
import { secret } from './cached.ts'
import { type Embeds, embeds, nodeBody } from './embedding-upstream.ts'
export interface Setup {
  readonly cache: Cache
  readonly node: Embeds
  readonly clock: ManualClock
  readonly digests: Map<string, string>
  engine: string
  ask(fields: Readonly<Record<string, unknown>>, how?: How): Promise<Taken>
}

export interface How {
  readonly path?: string
  readonly headers?: readonly string[]
  readonly call?: ReturnType<typeof newCall>
}

/** With `layers` behind memory. */
export function setup(
  layers: readonly SecondLayer[] = [],
  options: Readonly<Record<string, unknown>> = {},
  deps: Partial<CacheDeps> = {},
): Setup {
  const clock = manualClock()
  const node = embeds(clock)
  const digests = new Map([['e:latest', 'd1']])
  const parsed = cacheOptions.parse(options)
  const cache = createCache({
    options: () => parsed,
    clock,
    random: () => 0.5,
    secret,
    digestOf: (model) => digests.get(model) ?? null,
    digestsOf: (model) => [digests.get(model)].filter((digest) => digest !== undefined),
    engineEpoch: () => made.engine,
    layers,
    ...deps,
  })
  onTestFinished(() => cache.close())
  const relay = cache.layer(node.relay)
  const made: Setup = {
    cache,
    node,
    clock,
    digests,
    engine: '0.33',
    ask: (fields, { path = '/api/embed', headers = [], call = newCall() } = {}) =>
      take(shown(relay(requestOf(path, { model: 'e', ...fields }, headers), call), call)),
  }
  return made
}

/** What a node says to it, but for the times, which are its own. */
export function nodeSays(fields: Readonly<Record<string, unknown>>, path = '/api/embed'): string {
  return withoutTimes(nodeBody(requestOf(path, { model: 'e', ...fields }), 24))
}

export const withoutTimes = (text: string): string => text.replace(/"(total|load)_duration":\d+/g, '"$1_duration":0')

export const withoutCount = (text: string): string => withoutTimes(text).replace(/"prompt_eval_count":\d+/, '"prompt_eval_count":0')
