// What a fleet does as one server: pulls and creates with one progress, changes on every holder, merged lists.

import { createHash } from 'node:crypto'

import { describe, expect, test } from 'vitest'

import type { SimModel } from '../../src/sim/node.ts'
import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, expectIdle, type Gateway, openGateway, until, warmUp } from './gateway.ts'

const base: Omit<SimModel, 'name'> = {
  sizeBytes: 40_000_000,
  family: 'llama',
  parameterSize: '1B',
  quantization: 'Q4_K_M',
  contextLength: 8_192,
  capabilities: ['completion'],
  loadMs: 200,
}
const models: readonly SimModel[] = [
  { ...base, name: 'llama3.2:3b' },
  { ...base, name: 'fresh:latest', pulled: false },
]

function open(options: Parameters<typeof openGateway>[0] = {}): Promise<Gateway> {
  return openGateway({ nodes: 4, models, warm: false, ...options })
}

interface Line {
  readonly status?: string
  readonly error?: string
  readonly digest?: string
  readonly total?: number
  readonly completed?: number
}

function lines(text: string): Line[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

function names(text: string): string[] {
  return (JSON.parse(text) as { models: { name: string }[] }).models.map(({ name }) => name)
}

const get = { method: 'GET' }

describe('pull', () => {
  test('shows the progress of four nodes as one that never runs backwards, and ends when all have it', async () => {
    const gateway = await open({ registry: { fresh: { kind: 'pullable', bytesPerMs: 4_000 } } })
    const reply = await ask(`${gateway.url}/api/pull`, { model: 'fresh' })
    const told = lines(reply.text)
    expect(reply.headers['content-type']).toBe('application/x-ndjson')
    expect(told[0]).toEqual({ status: 'pulling manifest' })
    expect(told.at(-1)).toEqual({ status: 'success' })
    const shown = new Map<string, number>()
    for (const { digest, total = 0, completed = 0 } of told) {
      if (digest === undefined) continue
      expect(completed).toBeGreaterThanOrEqual(shown.get(digest) ?? 0)
      expect(completed).toBeLessThanOrEqual(total)
      shown.set(digest, completed)
    }
    expect(shown.size).toBe(4)
    for (const sim of gateway.sims) expect(names((await ask(`${sim.url}/api/tags`, undefined, get)).text)).toContain('fresh:latest')
    expect(isComplete(await ask(`${gateway.url}/api/chat`, chatBody({ model: 'fresh' })))).toBe(true)
    await expectIdle(gateway)
  })

  test('without a stream is one answer', async () => {
    const gateway = await open()
    const reply = await ask(`${gateway.url}/api/pull`, { model: 'fresh', stream: false })
    expect([reply.status, reply.text]).toEqual([200, '{"status":"success"}'])
    for (const sim of gateway.sims) expect(names((await ask(`${sim.url}/api/tags`, undefined, get)).text)).toContain('fresh:latest')
  })

  test('names the node that failed and those that have it', async () => {
    const failing = { registry: { fresh: { kind: 'corrupt' } } } as const
    const gateway = await open({ nodes: [{}, failing, {}, {}] })
    const told = lines((await ask(`${gateway.url}/api/pull`, { model: 'fresh' })).text)
    expect(told.some(({ status }) => status === 'success')).toBe(false)
    expect(told.at(-1)?.error).toMatch(/^failed on node-2: digest mismatch, .*\(done on node-1, node-3, node-4\)$/)
    await expectIdle(gateway)
  })

  test('that fails on one node, without a stream, is an error too', async () => {
    const gateway = await open({ nodes: [{}, { registry: { fresh: { kind: 'absent' } } }] })
    const reply = await ask(`${gateway.url}/api/pull`, { model: 'fresh', stream: false })
    expect(reply.status).toBeGreaterThanOrEqual(500)
    expect(reply.text).toContain('node-2: pull model manifest: file does not exist')
  })

  test('of a name that no registry has is the error of a node', async () => {
    const gateway = await open({ registry: { nowhere: { kind: 'absent' } } })
    const told = lines((await ask(`${gateway.url}/api/pull`, { model: 'nowhere' })).text)
    expect(told.at(-1)?.error).toContain('pull model manifest: file does not exist')
  })

  test('goes only to the nodes that the client names', async () => {
    const gateway = await open()
    const reply = await ask(`${gateway.url}/api/pull`, { model: 'fresh' }, { headers: { 'x-corral-nodes': 'node-2, node-4, node-2' } })
    expect(lines(reply.text).at(-1)).toEqual({ status: 'success' })
    expect(['node-1', 'node-2', 'node-3', 'node-4'].map((name) => asked(gateway, name, '/api/pull'))).toEqual([0, 1, 0, 1])
    const wrong = await ask(`${gateway.url}/api/pull`, { model: 'fresh' }, { headers: { 'x-corral-nodes': 'nobody' } })
    expect([wrong.status, wrong.text]).toEqual([404, expect.stringContaining('nobody')])
  })

  test('survives a node that dies meanwhile, and says so', async () => {
    const gateway = await open({ nodes: 3, speed: 1, registry: { fresh: { kind: 'pullable', bytesPerMs: 40_000 } } })
    const asking = start(`${gateway.url}/api/pull`, { model: 'fresh' })
    await asking.head
    await gateway.sim('node-3').kill()
    const told = lines((await asking.reply).text)
    expect(told.at(-1)?.error).toMatch(/^failed on node-3: .*\(done on node-1, node-2\)$/)
    await expectIdle(gateway)
  })

  test('is not held up for ever by a node that freezes meanwhile', async () => {
    const fleet = { probe: { intervalMs: 50, timeoutMs: 50 } }
    const gateway = await open({ nodes: 3, fleet })
    gateway.sim('node-3').control.set('hang-before-head')
    const told = lines((await ask(`${gateway.url}/api/pull`, { model: 'fresh' })).text)
    expect(told.at(-1)?.error).toMatch(/^failed on node-3: .*\(done on node-1, node-2\)$/)
    await expectIdle(gateway)
  })

  test.each(['malformed-json', 'truncate'] as const)('that ends in %s on one node names it', async (kind) => {
    const gateway = await open({ nodes: 2 })
    gateway.sim('node-2').control.set(kind, { path: '/api/pull' })
    const told = lines((await ask(`${gateway.url}/api/pull`, { model: 'fresh' })).text)
    expect(told.at(-1)?.error).toMatch(/^failed on node-2: .*\(done on node-1\)$/)
    await expectIdle(gateway)
  })

  test('is ended everywhere when the client leaves', async () => {
    const gateway = await open({ speed: 1, registry: { fresh: { kind: 'pullable', bytesPerMs: 10 } } })
    const asking = start(`${gateway.url}/api/pull`, { model: 'fresh' })
    await asking.head
    asking.leave()
    await until(() => gateway.sims.every((sim) => sim.stats().inFlight === 0), 'the nodes are left', 1_000)
    await expectIdle(gateway)
  })
})

describe('create', () => {
  test('runs on every node with one progress', async () => {
    const gateway = await open()
    const reply = await ask(`${gateway.url}/api/create`, { model: 'made', from: 'llama3.2:3b', system: 'be brief' })
    const told = lines(reply.text)
    expect(told.at(-1)).toEqual({ status: 'success' })
    expect(new Set(told.map(({ status }) => status)).size).toBe(told.length)
    for (const sim of gateway.sims) expect(names((await ask(`${sim.url}/api/tags`, undefined, get)).text)).toContain('made:latest')
    expect(isComplete(await ask(`${gateway.url}/api/chat`, chatBody({ model: 'made' })))).toBe(true)
  })

  test('from a model runs on the nodes that hold it', async () => {
    const gateway = await open({ nodes: [{ models: [{ ...base, name: 'rare:latest' }] }, {}, {}] })
    const reply = await ask(`${gateway.url}/api/create`, { model: 'made', from: 'Rare', system: 'be brief' })
    expect(lines(reply.text).at(-1)).toEqual({ status: 'success' })
    expect(gateway.sims.map(({ name }) => asked(gateway, name, '/api/create'))).toEqual([1, 0, 0])
  })

  test.each(['files', 'adapters'])('with %s runs on the nodes that have all of the blobs', async (key) => {
    const gateway = await open({ nodes: 3 })
    const blobs = ['one', 'two'].map((text) => ({ text, digest: `sha256:${createHash('sha256').update(text).digest('hex')}` }))
    const upload = (node: string, { text, digest }: { text: string; digest: string }) =>
      ask(`${gateway.sim(node).url}/api/blobs/${digest}`, Buffer.from(text))
    for (const blob of blobs) await upload('node-2', blob)
    for (const blob of blobs.slice(1)) await upload('node-3', blob)
    await ask(`${gateway.url}/api/create`, { model: 'made', [key]: Object.fromEntries(blobs.map(({ text, digest }) => [text, digest])) })
    expect(gateway.sims.map(({ name }) => asked(gateway, name, '/api/create'))).toEqual([0, 1, 0])
  })

  test('asks a node once for a blob that a body names often, and no more when the client has left', async () => {
    const gateway = await open({ nodes: 1 })
    const texts = ['one', 'two', 'three']
    const digests = texts.map((text) => `sha256:${createHash('sha256').update(text).digest('hex')}`)
    for (const [index, text] of texts.entries()) await ask(`${gateway.sim('node-1').url}/api/blobs/${digests[index]}`, Buffer.from(text))
    const heads = () => digests.map((digest) => asked(gateway, 'node-1', `/api/blobs/${digest}`) - 1)
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`part-${index}`, digests[0]]))
    await ask(`${gateway.url}/api/create`, { model: 'made', files })
    expect(heads()).toEqual([1, 0, 0])
    gateway.sim('node-1').control.set('slow-head', { path: `/api/blobs/${digests[1]}`, delayMs: 300 })
    const left = start(`${gateway.url}/api/create`, { model: 'made', files: { a: digests[1], b: digests[2] } })
    await until(() => heads()[1] === 1, 'the node is asked')
    left.leave()
    await expectIdle(gateway)
    expect(heads()).toEqual([1, 1, 0])
  })

  test('of what nobody has is answered as the nodes answer', async () => {
    const gateway = await open({ nodes: 2 })
    const reply = await ask(`${gateway.url}/api/create`, { model: 'made', from: 'nowhere' })
    expect(reply.text).toContain('pull model manifest')
    expect(gateway.sims.map(({ name }) => asked(gateway, name, '/api/create'))).toEqual([1, 1])
  })

  test('goes to the nodes that the client names, whatever they hold', async () => {
    const gateway = await open({ nodes: [{ models: [{ ...base, name: 'rare:latest' }] }, {}] })
    await ask(`${gateway.url}/api/create`, { model: 'made', from: 'rare' }, { headers: { 'x-corral-nodes': 'node-2' } })
    expect(gateway.sims.map(({ name }) => asked(gateway, name, '/api/create'))).toEqual([0, 1])
  })
})

describe('copy, delete, unload', () => {
  test('a copy is made on every holder and usable at once', async () => {
    const gateway = await open()
    const reply = await ask(`${gateway.url}/api/copy`, { source: 'llama3.2:3b', destination: 'twin' })
    expect(reply.status).toBe(200)
    expect(gateway.app.fleet.catalogue.resolve('twin').holders).toHaveLength(4)
  })

  test('a delete removes it from every holder', async () => {
    const gateway = await open()
    const reply = await ask(`${gateway.url}/api/delete`, { model: 'llama3.2:3b' }, { method: 'DELETE' })
    expect(reply.status).toBe(200)
    for (const sim of gateway.sims) expect(names((await ask(`${sim.url}/api/tags`, undefined, get)).text)).toEqual([])
    expect(gateway.app.fleet.knownModel('llama3.2:3b')).toBeNull()
  })

  test('a node that had it no more is no failure of a delete', async () => {
    const gateway = await open({ nodes: 2 })
    await ask(`${gateway.sim('node-1').url}/api/delete`, { model: 'llama3.2:3b' }, { method: 'DELETE' })
    expect((await ask(`${gateway.url}/api/delete`, { model: 'llama3.2:3b' }, { method: 'DELETE' })).status).toBe(200)
  })

  test('what nobody has is answered as a node answers', async () => {
    const gateway = await open({ nodes: 2 })
    for (const [path, body, options] of [
      ['/api/delete', { model: 'absent' }, { method: 'DELETE' }],
      ['/api/copy', { source: 'absent', destination: 'x' }, {}],
    ] as const) {
      const [reply, direct] = await Promise.all([
        ask(`${gateway.url}${path}`, body, options),
        ask(`${gateway.sim('node-1').url}${path}`, body, options),
      ])
      expect([reply.status, reply.text]).toEqual([direct.status, direct.text])
    }
  })

  test('a partial failure names who did it and who did not', async () => {
    const gateway = await open({ nodes: 3 })
    gateway.sim('node-2').control.set('server-error', { path: '/api/copy' })
    const reply = await ask(`${gateway.url}/api/copy`, { source: 'llama3.2:3b', destination: 'twin' })
    expect(reply.status).toBe(502)
    expect(reply.text).toMatch(/succeeded on node-1, node-3 and failed on node-2: an error was encountered/)
  })

  test('a node that hangs fails its part within the deadline', async () => {
    const gateway = await open({ nodes: 2, fleet: { operations: { changeTimeoutMs: 200 } } })
    gateway.sim('node-2').control.set('hang-before-head', { path: '/api/copy' })
    const reply = await ask(`${gateway.url}/api/copy`, { source: 'llama3.2:3b', destination: 'twin' })
    expect(reply.status).toBe(502)
    expect(reply.text).toContain('node-2: no answer within 200 ms')
    expect(reply.totalMs).toBeLessThan(1_000)
  })

  test('an unload reaches every holder', async () => {
    const gateway = await open()
    await warmUp(gateway)
    const reply = await ask(`${gateway.url}/api/generate`, { model: 'llama3.2:3b', keep_alive: 0, stream: false })
    expect(JSON.parse(reply.text)).toMatchObject({ done: true, done_reason: 'unload' })
    expect(gateway.sims.map((sim) => sim.stats().unloads)).toEqual([1, 1, 1, 1])
  })
})

describe('lists', () => {
  const mixed = [
    {
      version: '0.33.0',
      models: [
        { ...base, name: 'one:latest' },
        { ...base, name: 'both:latest' },
      ],
    },
    {
      version: '0.9.6',
      models: [
        { ...base, name: 'two:latest' },
        { ...base, name: 'both:latest' },
      ],
    },
  ]

  test('tags and the OpenAI list show every name once', async () => {
    const gateway = await open({ nodes: mixed })
    expect(names((await ask(`${gateway.url}/api/tags`, undefined, get)).text).toSorted()).toEqual([
      'both:latest',
      'one:latest',
      'two:latest',
    ])
    const list = JSON.parse((await ask(`${gateway.url}/v1/models`, undefined, get)).text) as { data: { id: string }[] }
    expect(list.data.map(({ id }) => id).toSorted()).toEqual(['both:latest', 'one:latest', 'two:latest'])
  })

  test('the version is the lowest of all nodes', async () => {
    const gateway = await open({ nodes: mixed })
    expect((await ask(`${gateway.url}/api/version`, undefined, get)).text).toBe('{"version":"0.9.6"}')
  })

  test('ps adds up the memory of all nodes', async () => {
    const gateway = await open({ nodes: 3 })
    await warmUp(gateway)
    const row = async (url: string) =>
      (JSON.parse((await ask(`${url}/api/ps`, undefined, get)).text) as { models: { name: string; size: number }[] }).models
    const [single] = await row(gateway.sim('node-1').url)
    expect(await row(gateway.url)).toEqual([expect.objectContaining({ name: 'llama3.2:3b', size: 3 * (single?.size ?? 0) })])
  })

  test.each(['/api/tags', '/v1/models', '/api/version'])('%s is not delayed by a slow node', async (path) => {
    const gateway = await open({ nodes: 3 })
    gateway.sim('node-2').control.set('hang-before-head')
    const reply = await ask(`${gateway.url}${path}`, undefined, get)
    expect(reply.status).toBe(200)
    expect(reply.totalMs).toBeLessThan(200)
  })

  test('ps waits for a slow node no longer than the deadline', async () => {
    const gateway = await open({ nodes: 3, fleet: { operations: { timeoutMs: 200 } } })
    await warmUp(gateway)
    gateway.sim('node-2').control.set('hang-before-head', { path: '/api/ps' })
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    const reply = await ask(`${gateway.url}/api/ps`, undefined, get)
    expect(names(reply.text)).toEqual(['llama3.2:3b'])
    expect(reply.totalMs).toBeLessThan(600)
  })

  test('a node that is down is left out', async () => {
    const gateway = await open({ nodes: mixed })
    await gateway.sim('node-2').kill()
    await until(() => gateway.app.fleet.nodes[1]?.up === false, 'it is down')
    expect(names((await ask(`${gateway.url}/api/tags`, undefined, get)).text)).not.toContain('two:latest')
    expect((await ask(`${gateway.url}/api/version`, undefined, get)).text).toBe('{"version":"0.33.0"}')
  })
})

describe('cloud models', () => {
  test.each([
    ['/api/chat', chatBody({ model: 'gpt-oss:120b-cloud' })],
    ['/v1/chat/completions', { model: 'qwen3-coder:480b-cloud', messages: [] }],
    ['/v1/messages', { model: 'glm-4.6:cloud', max_tokens: 5, messages: [] }],
    ['/api/pull', { model: 'gpt-oss:120b-cloud' }],
  ])('%s refuses one before any node is asked', async (path, body) => {
    const gateway = await open({ nodes: 2 })
    const reply = await ask(`${gateway.url}${path}`, body)
    expect(reply.status).toBe(403)
    expect(reply.text).toContain('ollama cloud is disabled')
    expect(gateway.sims.map((sim) => asked(gateway, sim.name, path))).toEqual([0, 0])
  })

  test('are handed on where the operator allows them', async () => {
    const gateway = await open({ nodes: 2, fleet: { cloudModels: true } })
    await ask(`${gateway.url}/api/chat`, chatBody({ model: 'gpt-oss:120b-cloud' }))
    expect(asked(gateway, 'node-1', '/api/chat') + asked(gateway, 'node-2', '/api/chat')).toBeGreaterThan(0)
  })
})
