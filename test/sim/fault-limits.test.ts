/** Each fault ends by its count or by its time, or says that it cannot. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'

import { type FaultKind, faultKinds, type FaultOptions } from '../../src/sim/faults.ts'
import { createSimNode, type SimNode, type SimNodeOptions } from '../../src/sim/node.ts'

const chat = { model: 'llama3.2:3b', messages: [{ role: 'user', content: 'Hello' }], options: { num_predict: 6 } }
/** An answer that takes longer is struck: healthy ones take a few ms. */
const patienceMs = 400

async function start(options: SimNodeOptions = {}): Promise<SimNode> {
  const node = await createSimNode({ speed: 100, ...options })
  onTestFinished(() => node.close())
  await send(node, { ...chat, messages: [] })
  return node
}

async function send({ url }: SimNode, body: object): Promise<string> {
  const response = await fetch(`${url}/api/chat`, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(patienceMs) })
  return response.text()
}

/** Whether the node lists digests that are not its own, or a chat is not whole. */
async function isStruck(node: SimNode, kind: FaultKind): Promise<boolean> {
  if (kind === 'digest-drift') return (await tags(node)) !== (await tags(node))
  try {
    const lines = (await send(node, chat)).trim().split('\n')
    for (const line of lines) JSON.parse(line)
    return !lines.at(-1)?.includes('"done":true')
  } catch {
    return true
  }
}

async function tags({ url }: SimNode): Promise<string> {
  return (await fetch(`${url}/api/tags`)).text()
}

const wholeNode: ReadonlySet<FaultKind> = new Set(['refuse', 'flap', 'frozen-runner'])
const ofAnswers = faultKinds.filter((kind) => !wholeNode.has(kind) && kind !== 'digest-drift')
const details: FaultOptions = { atFrame: 1, delayMs: 60_000 }

describe('a fault of answers', () => {
  it.each(ofAnswers)('%s strikes as often as it is told', async (kind) => {
    const node = await start()
    node.control.set(kind, { ...details, count: 2 })
    expect([await isStruck(node, kind), await isStruck(node, kind), await isStruck(node, kind)]).toEqual([true, true, false])
  })

  it.each(ofAnswers)('%s strikes for as long as it is told', async (kind) => {
    const node = await start()
    node.control.set(kind, { ...details, forMs: 3 * patienceMs })
    expect([await isStruck(node, kind), await isStruck(node, kind)]).toEqual([true, true])
    await expect.poll(() => isStruck(node, kind), { timeout: 10 * patienceMs }).toBe(false)
  })
})

describe('drifting digests', () => {
  it.each<FaultOptions>([{ count: 1 }, { forMs: 200 }])('end after %j', async (until) => {
    const node = await start()
    const before = await tags(node)
    node.control.set('digest-drift', until)
    expect(await tags(node)).not.toBe(before)
    await expect.poll(() => tags(node)).toBe(before)
  })
})

const up = ({ url }: SimNode): Promise<boolean> =>
  fetch(`${url}/api/version`).then(
    () => true,
    () => false,
  )

describe('a fault of the node', () => {
  it('refuses connections for as long as it is told', async () => {
    const node = await start()
    node.control.set('refuse', { forMs: 200 })
    expect(await up(node)).toBe(false)
    await expect.poll(() => up(node)).toBe(true)
  })

  it.each<readonly [FaultOptions, downs: number]>([
    [{ count: 2, delayMs: 100 }, 2],
    [{ forMs: 250, delayMs: 100 }, 2],
  ])('goes away %j', async (options, downs) => {
    const node = await start()
    node.control.set('flap', options)
    let seen = 0
    let before = true
    const endMs = performance.now() + 1_200
    while (performance.now() < endMs) {
      const now = await up(node)
      if (before && !now) seen += 1
      before = now
      await sleep(5)
    }
    expect([seen, before]).toEqual([downs, true])
  })

  it('freezes a runner for as long as it is told', async () => {
    const node = await start({ decodeTokensPerSecond: 1 })
    const answer = await fetch(`${node.url}/api/chat`, { method: 'POST', body: JSON.stringify(chat) })
    node.control.set('frozen-runner', { forMs: 600 })
    const startedMs = performance.now()
    expect(await answer.text()).toContain('"done":true')
    expect(performance.now() - startedMs).toBeGreaterThan(500)
  })
})

it.each<readonly [FaultKind, FaultOptions, words: string]>([
  ['refuse', { count: 1 }, 'refuse takes no count'],
  ['frozen-runner', { count: 1 }, 'frozen-runner takes no count'],
  ['runner-death', { count: 1 }, 'runner-death takes no count'],
  ['runner-death', { forMs: 1 }, 'runner-death takes no forMs'],
  ['truncate', { count: 0 }, 'truncate: count is a positive number, got 0'],
  ['flap', { forMs: -1 }, 'flap: forMs is a positive number, got -1'],
])('%s with %j is refused', async (kind, options, words) => {
  const node = await start({ controlPort: 0 })
  expect(() => node.control.set(kind, options)).toThrow(words)
  const answer = await fetch(`${node.controlUrl}/faults`, { method: 'POST', body: JSON.stringify({ kind, ...options }) })
  expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining(words)])
  expect(await isStruck(node, kind)).toBe(false)
})
