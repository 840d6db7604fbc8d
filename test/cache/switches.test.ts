/** Each layer and kind switched off: no byte of an answer or a vector comes to rest where it may not, and all else stays as it was. */
import { expect, onTestFinished, test } from 'vitest'

import { cacheStores } from '../../src/cache/cache-stores.ts'
import { createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { newCall, requestOf, take } from './ask.ts'
import { chat, oneBuild, secret } from './cached.ts'
import { embeds } from './embedding-upstream.ts'
import { openRedis } from './redis-replica.ts'
import { secondStores } from './second-stores.ts'
import { chatLines, scriptedUpstream } from './scripted.ts'

const kept = secondStores()

interface Rest {
  readonly memory: Readonly<Record<string, number>>
  /** Answers and vectors. */
  readonly redis: readonly [number, number]
  readonly postgres: Readonly<Record<string, number>>
  /** What the answers say of the cache: the first and the second of each. */
  readonly roles: readonly (string | undefined)[]
}

/** Asks for one answer, which takes 2.5 s, and for one vector, twice each; where their bytes are then. */
async function playWith(settings: Readonly<Record<string, unknown>>): Promise<Rest> {
  await kept.server.send('FLUSHALL')
  await kept.database.tx('system', (transaction) => transaction.query('delete from cache_entries'))
  const clock = manualClock()
  const options = cacheOptions.parse(settings)
  const stores = { database: kept.database, redis: await openRedis(kept.server.url) }
  const cache = createCache({
    options: () => options,
    clock,
    random: () => 0.5,
    secret,
    ...oneBuild,
    ...cacheStores({ options, redisUrl: kept.server.url, stores, clock, random: () => 0.5, replica: 'r1' }),
  })
  onTestFinished(() => cache.close())
  await cache.start()
  const upstream = scriptedUpstream(clock, (call) => {
    call.begin(chatLines(['a']).join(''))
    clock.advance(2_500)
    call.end()
  })
  const node = embeds(clock)
  const roles: (string | undefined)[] = []
  for (let turn = 0; turn < 2; turn += 1) {
    roles.push((await take(cache.layer(upstream.relay)(requestOf('/api/chat', chat('hi')), newCall()))).cache)
    const embedding = requestOf('/api/embed', { model: 'e', input: ['a text'] })
    roles.push((await take(cache.layer(node.relay)(embedding, newCall()))).cache)
    await cache.idle()
  }
  const names = (await kept.server.send('KEYS *:cache:{*')).match(/:[\da-f]{64}[suw]?/g) ?? []
  const answers = names.filter((name) => name.length > 65).length
  const text = 'select kind, count(*)::int as count from cache_entries group by kind'
  const { rows } = await kept.database.tx('system', (transaction) => transaction.query(text))
  return {
    memory: Object.fromEntries(Object.entries(cache.stats().memory.bytesByKind).map(([kind, bytes]) => [kind, bytes > 0 ? 1 : 0])),
    redis: [answers, names.length - answers],
    postgres: Object.fromEntries(rows.map(({ kind, count }) => [String(kind), Number(count)])),
    roles,
  }
}

const both = { inference: 1, embedding: 1 }
const all: Rest = { memory: both, redis: [1, 1], postgres: both, roles: ['miss', 'miss', 'hit', 'hit'] }

test.each<[string, Readonly<Record<string, unknown>>, Partial<Rest>]>([
  ['nothing', {}, {}],
  ['layers.memory', { layers: { memory: false } }, { memory: {} }],
  ['layers.redis', { layers: { redis: false } }, { redis: [0, 0] }],
  ['layers.postgres', { layers: { postgres: false } }, { postgres: {} }],
  [
    'kinds.inference',
    { kinds: { inference: false } },
    { memory: { embedding: 1 }, redis: [0, 1], postgres: { embedding: 1 }, roles: [undefined, 'miss', undefined, 'hit'] },
  ],
  [
    'kinds.embedding',
    { kinds: { embedding: false } },
    { memory: { inference: 1 }, redis: [1, 0], postgres: { inference: 1 }, roles: ['miss', undefined, 'hit', undefined] },
  ],
  [
    'every layer',
    { layers: { memory: false, redis: false, postgres: false } },
    { memory: {}, redis: [0, 0], postgres: {}, roles: ['miss', 'miss', 'miss', 'miss'] },
  ],
  ['everything', { enabled: false }, { memory: {}, redis: [0, 0], postgres: {}, roles: [undefined, undefined, undefined, undefined] }],
])('with %s off bytes rest in all other places and in no more', async (_, settings, expected) => {
  expect(await playWith(settings)).toEqual({ ...all, ...expected })
})
