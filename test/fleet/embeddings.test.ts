// Embedding batches cut over the nodes: the answer is the one of a single node, and no item is lost.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { ask, type Reply, start } from './ask.ts'
import { asked, expectIdle, type Gateway, openGateway, until, warmUp } from './gateway.ts'

const embed = '/api/embed'
const openAi = '/v1/embeddings'
const model = 'all-minilm'

function texts(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `text number ${index}`)
}

async function openWarm(options: Parameters<typeof openGateway>[0] = {}): Promise<Gateway> {
  const gateway = await openGateway({ nodes: 3, warm: false, ...options })
  await warmUpEmbedder(gateway)
  return gateway
}

/** Loads the embedding model everywhere, beside the gateway. */
async function warmUpEmbedder(gateway: Gateway): Promise<void> {
  await Promise.all(gateway.sims.map((sim) => ask(`${sim.url}${embed}`, { model, input: [], keep_alive: -1 })))
  await Promise.all(gateway.app.fleet.nodes.map((node) => gateway.app.fleet.prober.refreshLoaded(node)))
}

interface Embedded {
  readonly embeddings: readonly number[][]
  readonly prompt_eval_count: number
}

function parse(reply: Reply): Embedded {
  expect(reply.status, reply.text.slice(0, 200)).toBe(200)
  return JSON.parse(reply.text) as Embedded
}

/** What one node answers to the same request. */
async function fromOneNode(gateway: Gateway, body: Record<string, unknown>): Promise<Embedded> {
  return parse(await ask(`${gateway.sim('node-1').url}${embed}`, body))
}

describe('the answer', () => {
  test('has the vectors of a single node, in order, with the sum of the tokens', async () => {
    const gateway = await openWarm()
    const body = { model, input: texts(61) }
    const split = await ask(`${gateway.url}${embed}`, body)
    const whole = await fromOneNode(gateway, body)
    expect(parse(split).embeddings).toEqual(whole.embeddings)
    expect(parse(split).prompt_eval_count).toBe(whole.prompt_eval_count)
    expect(Object.keys(JSON.parse(split.text) as object)).toEqual(Object.keys(whole))
    expect(split.headers['x-corral-route']).toMatch(/^split/)
    await expectIdle(gateway)
  })

  test('is computed by all nodes', async () => {
    const gateway = await openWarm()
    const before = gateway.sims.map((sim) => sim.stats().byPath[embed] ?? 0)
    parse(await ask(`${gateway.url}${embed}`, { model, input: texts(60) }))
    const after = gateway.sims.map((sim) => sim.stats().byPath[embed] ?? 0)
    expect(after.every((count, index) => count > (before[index] ?? 0))).toBe(true)
  })

  test('with keep_alive 0 is computed without a load between shards, and then nobody keeps the model', async () => {
    const gateway = await openWarm()
    const body = { model, input: texts(120), keep_alive: 0 }
    const before = gateway.sims.map((sim) => sim.stats().byPath[embed] ?? 0)
    const split = parse(await ask(`${gateway.url}${embed}`, body))
    expect(gateway.sims.map((sim) => sim.stats().loads)).toEqual([1, 1, 1])
    expect(gateway.sims.every((sim, index) => (sim.stats().byPath[embed] ?? 0) > (before[index] ?? 0) + 1)).toBe(true)
    await until(() => gateway.app.fleet.nodes.every(({ loaded }) => loaded.size === 0), 'all nodes let go of the model')
    expect(split.embeddings).toEqual((await fromOneNode(gateway, body)).embeddings)
    await expectIdle(gateway)
  })

  test('items that occur twice are computed once', async () => {
    const gateway = await openWarm({ nodes: 1 })
    const input = [...texts(3), ...texts(3), 'text number 1']
    const reply = parse(await ask(`${gateway.url}${embed}`, { model, input }))
    const single = await fromOneNode(gateway, { model, input: texts(3) })
    expect(reply.embeddings).toEqual([0, 1, 2, 0, 1, 2, 1].map((index) => single.embeddings[index]))
    expect(reply.prompt_eval_count).toBe(single.prompt_eval_count)
  })

  test('a small batch goes to one node as it is', async () => {
    const gateway = await openWarm()
    const reply = await ask(`${gateway.url}${embed}`, { model, input: texts(3) })
    expect(parse(reply).embeddings).toHaveLength(3)
    expect(reply.headers['x-corral-route']).not.toMatch(/^split/)
  })

  test('one text, no text and split switched off give what a node gives', async () => {
    const gateway = await openWarm({ fleet: { embed: { split: false } } })
    for (const input of ['one text', [], texts(30)]) {
      const reply = await ask(`${gateway.url}${embed}`, { model, input })
      const direct = await ask(`${gateway.sim('node-1').url}${embed}`, { model, input })
      expect((JSON.parse(reply.text) as Embedded).embeddings).toEqual((JSON.parse(direct.text) as Embedded).embeddings)
      expect(reply.headers['x-corral-route']).not.toMatch(/^split/)
    }
  })
})

describe('in the dialect of OpenAI', () => {
  interface OpenAiList {
    readonly object: string
    readonly data: readonly { readonly object: string; readonly index: number; readonly embedding: number[] | string }[]
    readonly usage: unknown
    readonly model: string
  }

  test.each([
    ['floats', {}],
    ['base64', { encoding_format: 'base64' }],
    ['fewer dimensions', { dimensions: 16 }],
    ['base64 with fewer dimensions', { encoding_format: 'base64', dimensions: 16 }],
  ])('%s are those of a single node, numbered over the whole batch', async (_, change) => {
    const gateway = await openWarm()
    const body = { model, input: texts(40), ...change }
    const split = await ask(`${gateway.url}${openAi}`, body)
    const whole = await ask(`${gateway.sim('node-1').url}${openAi}`, body)
    const list = JSON.parse(split.text) as OpenAiList
    expect(list).toEqual(JSON.parse(whole.text))
    expect(list.data.map(({ index }) => index)).toEqual(texts(40).map((__, index) => index))
    expect(split.headers['x-corral-route']).toMatch(/^split/)
  })
})

describe('a node that fails', () => {
  test('by hanging costs no item and little time', async () => {
    const gateway = await openWarm()
    gateway.sim('node-2').control.set('hang-before-head', { path: embed })
    const body = { model, input: texts(60) }
    const reply = await ask(`${gateway.url}${embed}`, body)
    expect(parse(reply).embeddings).toEqual((await fromOneNode(gateway, body)).embeddings)
    expect(reply.totalMs).toBeLessThan(2_000)
    await expectIdle(gateway)
    await until(() => gateway.sim('node-2').stats().inFlight === 0, 'the hung shards were dropped')
  })

  test('by the death of its runner (400 … EOF) has its shards computed elsewhere', async () => {
    const gateway = await openWarm({ embedMsPerItem: 40 })
    const body = { model, input: texts(60) }
    const asking = ask(`${gateway.url}${embed}`, body)
    await until(() => gateway.sim('node-2').stats().inFlight > 0, 'a shard is there')
    gateway.sim('node-2').control.set('runner-death')
    const reply = await asking
    expect(parse(reply).embeddings).toEqual((await fromOneNode(gateway, body)).embeddings)
    await expectIdle(gateway)
  })

  test.each(['rst-before-head', 'instant-503', 'server-error', 'missing-model'] as const)(
    'by %s has its shards computed elsewhere',
    async (kind) => {
      const gateway = await openWarm()
      gateway.sim('node-2').control.set(kind, { path: embed })
      const body = { model, input: texts(60) }
      expect(parse(await ask(`${gateway.url}${embed}`, body)).embeddings).toEqual((await fromOneNode(gateway, body)).embeddings)
      await expectIdle(gateway)
    },
  )

  test('by being killed in the middle has its shards computed elsewhere', async () => {
    const gateway = await openWarm({ embedMsPerItem: 40 })
    const body = { model, input: texts(60) }
    const asking = ask(`${gateway.url}${embed}`, body)
    await until(() => gateway.sim('node-2').stats().inFlight > 0, 'a shard is there')
    await gateway.sim('node-2').kill()
    expect(parse(await asking).embeddings).toEqual((await fromOneNode(gateway, body)).embeddings)
    await expectIdle(gateway)
  })
})

describe('a request that fails', () => {
  test('by one item gets the error that a single node gives', async () => {
    const gateway = await openWarm()
    const input = texts(40)
    input[33] = Array.from({ length: 3_000 }, (_, index) => `word${index}`).join(' ')
    const body = { model, input, truncate: false }
    const reply = await ask(`${gateway.url}${embed}`, body)
    const direct = await ask(`${gateway.sim('node-1').url}${embed}`, body)
    expect(direct.status).toBeGreaterThanOrEqual(400)
    expect(reply.status).toBe(direct.status)
    expect(reply.text).toBe(direct.text)
    await expectIdle(gateway)
  })

  test.each([
    ['numbers among the items', [1, 'two', 3]],
    ['an object', { text: 'x' }],
    ['a list of lists', [['a'], ['b']]],
  ])('by its form (%s) gets the error that a single node gives', async (_, input) => {
    const gateway = await openWarm()
    const body = { model, input }
    const [reply, direct] = await Promise.all([ask(`${gateway.url}${embed}`, body), ask(`${gateway.sim('node-1').url}${embed}`, body)])
    expect(reply.status).toBe(direct.status)
    expect(reply.text).toBe(direct.text)
  })

  test('on every node is answered as the nodes answer', async () => {
    const gateway = await openWarm()
    for (const sim of gateway.sims) sim.control.set('server-error', { path: embed })
    const reply = await ask(`${gateway.url}${embed}`, { model, input: texts(40) })
    expect(reply.status).toBe(500)
    expect(JSON.parse(reply.text)).toHaveProperty('error')
    await expectIdle(gateway)
  })
})

test('a client that leaves ends all of its shards', async () => {
  const gateway = await openWarm({ embedMsPerItem: 200 })
  const asking = start(`${gateway.url}${embed}`, { model, input: texts(60) })
  await until(() => gateway.sims.every((sim) => sim.stats().inFlight > 0), 'all nodes have shards')
  const before = gateway.sims.map((sim) => asked(gateway, sim.name, embed))
  asking.leave()
  await until(() => gateway.sims.every((sim) => sim.stats().inFlight === 0), 'the nodes are left', 500)
  await expectIdle(gateway)
  expect(gateway.sims.map((sim) => asked(gateway, sim.name, embed))).toEqual(before)
})

test('a single request is not delayed by a batch of another client: batches wait behind it', async () => {
  const gateway = await openWarm({ nodes: 2, embedMsPerItem: 60 })
  const batch = ask(`${gateway.url}${embed}`, { model, input: texts(400) })
  await until(() => gateway.sims.every((sim) => sim.stats().inFlight > 0), 'the batch runs')
  const single = await ask(`${gateway.url}${embed}`, { model, input: 'one' })
  expect(single.status).toBe(200)
  const whole = await batch
  expect(parse(whole).embeddings).toHaveLength(400)
  expect(single.totalMs).toBeLessThan(whole.totalMs * 0.8)
})

test('a batch of many parts leaves room in the line of its model', async () => {
  const fleet = { wholeBytesMax: 262_144, admission: { queueMax: 4 } }
  const gateway = await openWarm({ nodes: 2, embedMsPerItem: 5, fleet })
  const input = texts(200)
  const batch = ask(`${gateway.url}${embed}`, { model, input })
  const work = (): number => gateway.sims.reduce((sum, sim) => sum + asked(gateway, sim.name, embed), 0)
  for (const shards of [10, 30, 50]) {
    await until(() => work() >= shards, 'the batch goes on')
    expect((await ask(`${gateway.url}${embed}`, { model, input: 'one' })).status).toBe(200)
  }
  expect(parse(await batch).embeddings).toEqual((await fromOneNode(gateway, { model, input })).embeddings)
  await expectIdle(gateway)
})

test('a cold model is loaded by one request per node', async () => {
  const gateway = await openGateway({ nodes: 2, warm: false })
  parse(await ask(`${gateway.url}${embed}`, { model, input: texts(40) }))
  for (const sim of gateway.sims) expect(sim.stats().loads).toBeLessThanOrEqual(1)
  await warmUp(gateway)
  await expectIdle(gateway)
})

describe('an answer over the limit for whole answers', () => {
  /** Bytes of 150 vectors of the model, of which one part at most may be on its way. */
  const fleet = { wholeBytesMax: 262_144 }
  const breakers = ({ app }: Gateway): string[] => app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs()))

  test('is never asked for: a batch is cut so that each part fits, on a single node, too', async () => {
    const gateway = await openWarm({ nodes: 1, fleet })
    const body = { model, input: texts(150) }
    for (let time = 0; time < 5; time += 1) {
      const reply = await ask(`${gateway.url}${embed}`, body)
      expect(reply.text.length).toBeGreaterThan(2 * fleet.wholeBytesMax)
      expect(parse(reply).embeddings).toEqual((await fromOneNode(gateway, body)).embeddings)
    }
    expect(breakers(gateway)).toEqual(['closed'])
    await expectIdle(gateway)
  })

  test('is an error of the gateway, asked for once and no fault of the node, where batches are not cut', async () => {
    const gateway = await openWarm({ nodes: 2, fleet: { ...fleet, embed: { split: false } } })
    for (let time = 1; time <= 6; time += 1) {
      const reply = await ask(`${gateway.url}${openAi}`, { model, input: texts(150) })
      expect([reply.status, JSON.parse(reply.text)]).toEqual([
        502,
        { error: expect.objectContaining({ code: 'answer_too_large' }) as object },
      ])
      expect(reply.text).toContain('fleet.wholeBytesMax')
      expect(gateway.sims.reduce((sum, sim) => sum + (sim.stats().byPath[openAi] ?? 0), 0)).toBe(time)
    }
    expect(breakers(gateway)).toEqual(['closed', 'closed'])
    await expectIdle(gateway)
  })
})
