// Two replicas on one Postgres and one Redis: what a document said is answered by neither after it was deleted or edited on the other, whichever layer
// of the cache held it (caching.md §11, C4).
import { describe, expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { openRedis } from '../cache/redis-replica.ts'
import { describeStores, postgresOn, serverKinds, type Servers } from '../store/stores.ts'
import { startRedis } from '../support/redis.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

/** The database keeps what cost at least two seconds (`originMsMin`). */
const slowMs = 2_100
const question = 'weight of copper'
const asked = { collection: 'docs', question, model: chatModel, stream: false }
/** No number: ids and times hold all numbers. */
const gone = 'sixty-three'
const waiting = { timeout: 30_000 }
const searched = { collection: 'docs', query: question }

interface Pair {
  readonly one: RagGateway
  readonly other: RagGateway
}

async function startPair(servers: Servers, layers: Readonly<Record<string, boolean>>): Promise<Pair> {
  const { url } = await servers.postgres.createDatabase()
  const redis = await startRedis()
  const start = async (nodeUrls: readonly string[] | null): Promise<RagGateway> => {
    const gateway = await startRagGateway({
      database: postgresOn(url),
      redis: await openRedis(redis.url),
      config: { cache: { layers } },
      ...(nodeUrls === null ? {} : { nodeUrls }),
    })
    onTestFinished(() => gateway.close())
    return gateway
  }
  const one = await start(null)
  const other = await start([one.fleet.url])
  one.fleet.atHalf = () => systemClock.sleep(slowMs)
  await one.collection('docs', { copper: 'The weight of copper is sixty-three units.', tin: 'Tin melts at 232 degrees.' })
  return { one, other }
}

async function answer(gateway: RagGateway) {
  const { headers, text } = mustBe(200, await gateway.ask('POST', '/rag/chat', { body: asked }))
  return { isKept: headers.get('x-corral-route') === 'kept-answer', text }
}

async function search(gateway: RagGateway) {
  const { headers, text } = mustBe(200, await gateway.ask('POST', '/rag/search', { body: searched }))
  return { isKept: headers.get('x-corral-cache') === 'hit', text }
}

/** Asks until each replica answers out of a layer. Searches are too fast for the database, which keeps what cost much. */
async function fill({ one, other }: Pair, keepsSearches: boolean): Promise<void> {
  for (const gateway of [one, other, one]) {
    await expect.poll(() => answer(gateway), waiting).toMatchObject({ isKept: true, text: expect.stringContaining(gone) })
    const kept = { isKept: true, text: expect.stringContaining(gone) }
    if (keepsSearches) await expect.poll(() => search(gateway), waiting).toMatchObject(kept)
  }
}

async function expectNoneSays({ one, other }: Pair): Promise<void> {
  for (const gateway of [other, one, other, one]) {
    const [said, found] = [await answer(gateway), await search(gateway)]
    expect([said.text, found.text].filter((text) => text.includes(gone))).toEqual([])
  }
}

const changes: readonly (readonly [what: string, change: (gateway: RagGateway) => Promise<unknown>])[] = [
  ['deleted', async (gateway) => mustBe(204, await gateway.ask('DELETE', '/rag/collections/docs/documents/copper'))],
  ['purged', async (gateway) => mustBe(204, await gateway.ask('DELETE', '/rag/collections/docs/documents/copper?purge=true'))],
  ['edited', (gateway) => gateway.put('docs', 'copper', 'The weight of copper is sixty-four units.')],
]

describeStores(
  serverKinds.filter((kind) => kind === 'postgres'),
  (servers) => {
    describe.each([
      ['memory, Redis and Postgres', { memory: true, redis: true, postgres: true }],
      ['Redis alone', { memory: false, redis: true, postgres: false }],
      ['Postgres alone', { memory: false, redis: false, postgres: true }],
    ] as const)('with %s', (_, layers) => {
      test.each(changes)(
        'of a document that was %s on one replica neither answers',
        async (_what, change) => {
          const pair = await startPair(servers, layers)
          await fill(pair, layers.memory || layers.redis)
          await change(pair.one)
          await expectNoneSays(pair)
        },
        120_000,
      )
    })
  },
)
