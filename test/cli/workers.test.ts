/** `corral serve --workers 2`: two processes on one port that answer an operator as one. */
import { readFileSync } from 'node:fs'

import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'

import { freePort } from '../support/free-port.ts'
import { createHerd, type SimHerd } from '../../src/sim/herd.ts'
import type { SimNodeOptions } from '../../src/sim/node.ts'
import { until } from '../support/gateway.ts'
import { hasPostgres, startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { corral, entry, type Running, runNode, start } from './corral.ts'

const testMsMax = 90_000
const waitMsMax = 30_000

interface Served {
  readonly url: string
  readonly running: Running
  readonly herd: SimHerd
}

/** Both workers serve when this returns. */
async function serve(args: readonly string[] = [], options: SimNodeOptions & { readonly nodes?: number } = {}): Promise<Served> {
  const herd = await createHerd({ nodes: 1, speed: 20, ...options })
  onTestFinished(() => herd.close())
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const running = start(['serve', '--workers', '2', '--port', String(port), '--node', herd.urls[0] ?? '', ...args])
  onTestFinished(() => {
    for (const pid of workersOf(running)) process.kill(pid, 'SIGKILL')
  })
  await untilBothServe(running, url)
  return { url, running, herd }
}

/** The children of the watcher, as Linux shows them. */
function workersOf({ child }: Running): number[] {
  if (child.exitCode !== null || child.signalCode !== null) return []
  return readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

const fleetShape = z.object({
  nodes: z.array(
    z.object({
      inFlight: z.number(),
      draining: z.boolean(),
      up: z.boolean().nullable(),
      runners: z.array(z.object({ slots: z.number().nullable(), slotsFrom: z.string() })),
    }),
  ),
  pools: z.array(z.object({ queueMax: z.number() })),
})

async function fleetOf(url: string): Promise<z.infer<typeof fleetShape>> {
  const answer = await fetch(`${url}/admin/fleet`, { headers: { connection: 'close' } })
  return fleetShape.parse(await answer.json())
}

const liveShape = z.object({
  fleet: fleetShape,
  requests: z.array(z.object({ id: z.string() })),
  overview: z.object({ inFlight: z.number() }),
})

/** The first state that the console is pushed. */
async function liveState(url: string): Promise<z.infer<typeof liveShape>> {
  const leaving = new AbortController()
  const { body } = await fetch(`${url}/admin/live`, { signal: leaving.signal, headers: { connection: 'close' } })
  let text = ''
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString()
    const [, data] = /^event: state\ndata: (.*)\n\n/m.exec(text) ?? []
    if (data !== undefined) return liveShape.parse(JSON.parse(data))
  }
  throw new Error('no state came')
}

async function scrape(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`, { headers: { connection: 'close' } })).text()
}

function valueOf(text: string, series: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return Number(line?.slice(series.length + 1) ?? 'NaN')
}

/** Both have read the node's state, and answer a scrape. */
async function untilBothServe(running: Running, url: string): Promise<void> {
  await running.until(/listening/)
  let seen = 0
  while (seen < 2) seen = (await fleetOf(url)).nodes[0]?.up === true ? valueOf(await scrape(url), 'corral_workers') : 0
}

async function generate(url: string): Promise<number> {
  const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'Why?', stream: false, options: { num_predict: 2 } })
  const answer = await fetch(`${url}/api/generate`, { method: 'POST', body, headers: { connection: 'close' } })
  await answer.arrayBuffer()
  return answer.status
}

const requestsOk = 'corral_requests_total{op="generate",model="llama3.2:3b",outcome="ok"}'

test('the embedded store is refused in words', async () => {
  const { code, stderr } = await corral(['serve', '--workers', '2', '--set', 'store.enabled=true'])
  expect([code, stderr]).toEqual([2, expect.stringContaining('2 workers cannot share the embedded store')])
})

test('a port that is taken ends all of them with one exit code', { timeout: testMsMax }, async () => {
  const { url } = await serve()
  const { code } = await corral(['serve', '--workers', '2', '--port', new URL(url).port])
  expect(code).toBe(1)
})

test('one scrape holds what both counted, no series twice, and goes on when one dies', { timeout: testMsMax }, async () => {
  const { url, running } = await serve()
  const statuses = await Promise.all(Array.from({ length: 12 }, () => generate(url)))
  expect(statuses.filter((status) => status !== 200)).toEqual([])
  const text = await scrape(url)
  expect(valueOf(text, requestsOk)).toBe(12)
  const series = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')))
  expect(new Set(series).size).toBe(series.length)
  const [victim = 0] = workersOf(running)
  process.kill(victim, 'SIGKILL')
  await running.until(/worker \d ended by itself \(SIGKILL\); another one takes its place/)
  await untilBothServe(running, url)
  expect(await generate(url)).toBe(200)
  expect(valueOf(await scrape(url), requestsOk)).toBe(13)
})

test('an operator sees and changes both, whichever answers', { timeout: testMsMax }, async () => {
  const { url, herd } = await serve(['--set', 'fleet.admission.slotsAssumed=8'], { decodeTokensPerSecond: 1, speed: 1, numParallel: 8 })
  const leaving = new AbortController()
  const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'Why?', options: { num_predict: 500 } })
  const open = await Promise.all(
    Array.from({ length: 4 }, () =>
      fetch(`${url}/api/generate`, { method: 'POST', body, signal: leaving.signal, headers: { connection: 'close' } }),
    ),
  )
  expect(open.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect((await fleetOf(url)).nodes[0]?.inFlight).toBe(4)
  const listed = z.object({ requests: z.array(z.object({ id: z.string() })) })
  const { requests } = listed.parse(await (await fetch(`${url}/admin/requests`)).json())
  expect(new Set(requests.map(({ id }) => id)).size).toBe(4)
  const state = await liveState(url)
  expect(state.requests.map(({ id }) => id).toSorted()).toEqual(requests.map(({ id }) => id).toSorted())
  expect([state.fleet.nodes[0]?.inFlight, state.overview.inFlight]).toEqual([4, 4])
  for (const { id } of requests) {
    expect((await fetch(`${url}/admin/requests/${id}`, { method: 'DELETE', headers: { connection: 'close' } })).status).toBe(204)
  }
  leaving.abort()
  const name = new URL(herd.urls[0] ?? '').host
  expect((await fetch(`${url}/admin/nodes/${name}/drain`, { method: 'POST' })).status).toBe(200)
  for (let asked = 0; asked < 4; asked += 1) expect((await fleetOf(url)).nodes[0]?.draining).toBe(true)
})

test('workers that share a Redis, too, are each told of once', { timeout: testMsMax }, async () => {
  const redis = await startRedis()
  const { url } = await serve(['--set', 'store.enabled=false', '--set', `redis.url=${redis.url}`])
  const shape = z.object({ coverage: z.unknown() })
  const coverage = async (): Promise<unknown> => shape.parse(await (await fetch(`${url}/admin/fleet`)).json()).coverage
  await expect.poll(coverage, { timeout: waitMsMax }).toEqual({ processes: 2, silent: 0, redisAway: false })
})

test('a purge reaches the memory of both', { timeout: testMsMax }, async () => {
  const { url } = await serve(['--set', 'store.enabled=false'])
  const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'Why?', stream: false, options: { temperature: 0, num_predict: 400 } })
  const role = async (): Promise<string | null> => {
    const answer = await fetch(`${url}/api/generate`, { method: 'POST', body, headers: { connection: 'close' } })
    await answer.arrayBuffer()
    return answer.headers.get('x-corral-cache')
  }
  const purge = async (selector: object): Promise<unknown> => {
    const asked = { method: 'POST', body: JSON.stringify(selector), headers: { 'content-type': 'application/json', connection: 'close' } }
    return (await fetch(`${url}/admin/cache/purge`, asked)).json()
  }
  const hitsOfFour = async (): Promise<number> =>
    [await role(), await role(), await role(), await role()].filter((each) => each === 'hit').length
  // Connections go to the workers in turn.
  expect(await hitsOfFour()).toBe(2)
  expect(await purge({ all: true })).toMatchObject({ dryRun: true, memory: 2 })
  expect(await purge({ all: true, dryRun: false })).toMatchObject({ dryRun: false, memory: 2, shared: true })
  expect(await hitsOfFour()).toBe(2)
})

test('a worker that takes the place of a dead one has what was changed by hand', { timeout: testMsMax }, async () => {
  const { url, running, herd } = await serve([], { nodes: 2 })
  const [listed = '', added = ''] = herd.urls
  const post = (path: string, body: object = {}): Promise<Response> =>
    fetch(url + path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', connection: 'close' } })
  expect((await post('/admin/nodes', { url: added, name: 'by-hand', slots: 3 })).status).toBe(201)
  expect((await post(`/admin/nodes/${new URL(listed).host}/drain`)).status).toBe(200)
  const off = await fetch(`${url}/admin/features/cache`, { method: 'PUT', body: '{"on":false}', headers: { connection: 'close' } })
  expect(off.status).toBe(200)
  const [first = 0, second = 0] = workersOf(running)
  process.kill(first, 'SIGKILL')
  await running.until(/worker \d ended by itself/)
  await untilBothServe(running, url)
  process.kill(second, 'SIGKILL')
  await running.until(/worker \d ended by itself[^]*worker \d ended by itself/)
  await untilBothServe(running, url)
  for (let asked = 0; asked < 4; asked += 1) {
    expect((await fleetOf(url)).nodes.map(({ draining }) => draining)).toEqual([true, false])
    const features = await fetch(`${url}/admin/features`, { headers: { connection: 'close' } })
    expect(await features.json()).toMatchObject({
      features: expect.arrayContaining([expect.objectContaining({ name: 'cache', on: false })]),
    })
  }
  // Once both have sent something there, the slots that were said are those of both together.
  const runnersByHand = async () => {
    // Connections go to the workers in turn: these two to both of them.
    expect([await generate(url), await generate(url)]).toEqual([200, 200])
    return (await fleetOf(url)).nodes[1]?.runners
  }
  await expect.poll(runnersByHand, { timeout: waitMsMax }).toEqual([{ slots: 3, slotsFrom: 'configured' }])
})

test.runIf(hasPostgres())('what was changed by hand outlives all workers where they have a store', { timeout: testMsMax }, async () => {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.remove())
  const { url: database } = await postgres.createDatabase()
  const stored = ['--set', 'store.enabled=true', '--set', `store.url=${database}`, '--set', `secret=${'s'.repeat(64)}`]
  const { url, running, herd } = await serve(stored)
  const name = new URL(herd.urls[0] ?? '').host
  const drain = async (): Promise<unknown> => (await fetch(`${url}/admin/nodes/${name}/drain`, { method: 'POST' })).json()
  await expect.poll(drain, { timeout: waitMsMax }).toEqual({ name, draining: true, kept: true })
  for (const pid of workersOf(running)) process.kill(pid, 'SIGKILL')
  await running.until(/(ended by itself[^]*){2}listening/)
  await untilBothServe(running, url)
  await expect.poll(async () => (await fleetOf(url)).nodes[0]?.draining, { timeout: waitMsMax }).toBe(true)
})

test('a limit holds for both together without Redis', { timeout: testMsMax }, async () => {
  const { url } = await serve(['--set', 'limits.tenant.requestsPerMinute=6', '--set', 'cache.enabled=false'])
  const statuses = await Promise.all(Array.from({ length: 20 }, () => generate(url)))
  expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(6)
  expect(statuses).toContain(200)
  expect(statuses).toContain(429)
})

test('SIGHUP and SIGTERM reach both: a stream comes whole, and all end well', { timeout: testMsMax }, async () => {
  const { url, running } = await serve()
  running.child.kill('SIGHUP')
  await running.until(/reloaded/)
  const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'Why?', options: { num_predict: 100 } })
  const open = await Promise.all(Array.from({ length: 4 }, () => fetch(`${url}/api/generate`, { method: 'POST', body })))
  running.child.kill('SIGTERM')
  for (const answer of open) expect((await answer.text()).trim().split('\n').at(-1)).toContain('"done":true')
  expect((await running.ended).code).toBe(0)
})

test('a worker that is only starting hears that all have to end', { timeout: testMsMax }, async () => {
  const { running } = await serve()
  const [victim = 0] = workersOf(running)
  process.kill(victim, 'SIGKILL')
  await running.until(/another one takes its place/)
  await until(() => workersOf(running).length === 2 && !workersOf(running).includes(victim), 'another one starts', waitMsMax)
  running.child.kill('SIGTERM')
  await running.ended
})

test(
  'workers that die all at once are replaced; while none lives yet the watcher ends at once when it is told to',
  {
    timeout: testMsMax,
  },
  async () => {
    const { url, running } = await serve()
    const killAll = async (ended: number): Promise<void> => {
      for (const pid of workersOf(running)) process.kill(pid, 'SIGKILL')
      await running.until(new RegExp(`(ended by itself[^]*){${ended}}`))
    }
    await killAll(2)
    await running.until(/ended by itself[^]*listening/)
    await untilBothServe(running, url)
    // The second time each successor has to wait a little.
    await killAll(4)
    running.child.kill('SIGTERM')
    expect((await running.ended).code).toBe(0)
  },
)

test('a worker whose watcher dies while it starts ends with a sentence', { timeout: testMsMax }, async () => {
  // `online` is said by Node, before the worker has read its own program.
  const watcher = `import cluster from 'node:cluster'
    cluster.setupPrimary({ exec: ${JSON.stringify(entry)}, execArgv: [], args: ['serve', '--port', '0'] })
    cluster.fork().on('online', () => process.kill(process.pid, 'SIGKILL'))`
  const { stderr } = await runNode(['--input-type=module', '--eval', watcher]).ended
  expect(stderr).toContain('the process that started this worker is gone')
  expect(stderr).not.toMatch(/EPIPE|Unhandled/)
})

test('workers whose watcher was killed end their streams, then themselves', { timeout: testMsMax }, async () => {
  const { url, running } = await serve()
  const pids = workersOf(running)
  expect(pids).toHaveLength(2)
  const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'Why?', options: { num_predict: 100 } })
  const open = await Promise.all(Array.from({ length: 4 }, () => fetch(`${url}/api/generate`, { method: 'POST', body })))
  running.child.kill('SIGKILL')
  for (const answer of open) expect((await answer.text()).trim().split('\n').at(-1)).toContain('"done":true')
  await until(() => !pids.some(isAlive), 'both workers have ended', waitMsMax)
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
