/** Each fault ends by its count or by its time, or says that it cannot. */
import { describe, expect, it, onTestFinished } from 'vitest'

import { type FaultKind, faultKinds, type FaultOptions } from '../../src/sim/faults.ts'
import { createSimNode, type SimNode, type SimNodeOptions } from '../../src/sim/node.ts'
import { type ManualClock, manualClock } from '../fleet/manual-clock.ts'

const chat = { model: 'llama3.2:3b', messages: [{ role: 'user', content: 'Hello' }], options: { num_predict: 6 } }
/** An answer that takes longer is struck: healthy ones take a few ms. */
const patienceMs = 400

async function start(options: SimNodeOptions = {}): Promise<SimNode> {
  const node = await createSimNode({ speed: 100, ...options })
  onTestFinished(() => node.close())
  await send(node, { ...chat, messages: [] })
  return node
}

/** A node whose time the test moves; its models stay where they are, for a load takes time. */
async function startWithClock(): Promise<{ node: SimNode; clock: ManualClock }> {
  const clock = manualClock()
  const node = await createSimNode({ clock })
  onTestFinished(() => node.close())
  return { node, clock }
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
    const { node, clock } = await startWithClock()
    const before = await tags(node)
    node.control.set('digest-drift', until)
    expect(await tags(node)).not.toBe(before)
    clock.advance(until.forMs ?? 0)
    expect(await tags(node)).toBe(before)
  })
})

const up = ({ url }: SimNode): Promise<boolean> =>
  fetch(`${url}/api/version`).then(
    () => true,
    () => false,
  )

describe('a fault of the node', () => {
  it('refuses connections for as long as it is told', async () => {
    const { node, clock } = await startWithClock()
    node.control.set('refuse', { forMs: 200 })
    clock.advance(199)
    expect(await up(node)).toBe(false)
    clock.advance(1)
    await expect.poll(() => up(node)).toBe(true)
  })

  it.each<readonly [FaultOptions]>([[{ count: 2, delayMs: 100 }], [{ forMs: 250, delayMs: 100 }]])('goes away %j', async (options) => {
    const { node, clock } = await startWithClock()
    node.control.set('flap', options)
    for (const [turn, isUp] of [false, true, false, true, true, true, true].entries()) {
      // A port is opened again a moment after it is time.
      await expect.poll(() => up(node), { message: `after ${turn * 100} ms` }).toBe(isUp)
      clock.advance(100)
    }
    expect(clock.pending).toBe(0)
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
