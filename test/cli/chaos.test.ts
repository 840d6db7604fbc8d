/** `corral doctor --chaos`: what the scorecard says of a configuration that bears faults, and of one that does not. */
import { expect, test } from 'vitest'
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import { playAll } from '../../src/cli/chaos/chaos.ts'
import type { Reply } from '../../src/cli/chaos/client.ts'
import { chaosFaults } from '../../src/cli/chaos/faults.ts'
import { type Playing, reasonOf } from '../../src/cli/chaos/play.ts'
import { stagedConfig } from '../../src/cli/chaos/stage.ts'
import { fixOf } from '../../src/cli/chaos/fix.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { createSimNode } from '../../src/sim/node.ts'
import { corral } from './corral.ts'
import { createFolder } from '../config/folder.ts'

const testMsMax = 120_000

/** Quick ones: what a hang costs is waiting. */
const named = (...names: readonly string[]) => chaosFaults.filter(({ name }) => names.includes(name))

const playing = (config: Config, signal = new AbortController().signal): Playing => ({ config, clock: systemClock, signal })

test('the usual configuration keeps every promise, and loses nothing where nothing may be lost', { timeout: testMsMax }, async () => {
  const faults = named('connection refused', 'answers 503', 'resets before the answer', 'resets in mid-stream', 'all nodes away, then back')
  const scores = await playAll(playing(configSchema.parse({})), faults)
  expect(scores.map(({ fault }) => fault)).toEqual(faults.map(({ name }) => name))
  expect(scores.filter(({ survived }) => !survived)).toEqual([])
  expect(scores.filter(({ promised, good, requests }) => promised === 'nothing lost' && good < requests)).toEqual([])
  const cut = scores.find(({ fault }) => fault === 'resets in mid-stream')
  expect(cut?.failed).toEqual({ 'cut, with an error': expect.any(Number) })
  expect(scores.find(({ fault }) => fault === 'answers 503')?.retried).toBeGreaterThan(0)
})

test(
  'without retries and with a short line the faults that need them fail, each with the key to change',
  { timeout: testMsMax },
  async () => {
    const config = configSchema.parse({ fleet: { retry: { enabled: false }, admission: { queueMax: 2 } } })
    const scores = await playAll(playing(config), named('resets before the answer', 'three times what all can do'))
    expect(scores.map(({ survived, fix }) => [survived, fix])).toEqual([
      [false, expect.stringContaining('fleet.retry.enabled: true')],
      [false, expect.stringContaining('fleet.admission.queueMax is 2')],
    ])
    expect(scores.every(({ failed }) => Object.keys(failed).length > 0)).toBe(true)
  },
)

test('the command asks none of the nodes, prints JSON, and ends with 1 for what was not survived', { timeout: testMsMax }, async () => {
  const own = await createSimNode({})
  const file = `fleet:
  nodes:
    - { url: ${own.url}, name: own }
  admission: { queueMax: 0 }
  deadlines: { firstFrameMsMin: 300ms, idleMsMin: 300ms }
`
  const folder = createFolder({ 'corral.yaml': file })
  const { code, stdout } = await corral(['doctor', '--chaos', '--json'], { cwd: folder })
  const { byPath } = own.stats()
  await own.close()
  const card = z
    .object({ survived: z.number(), faults: z.array(z.object({ fault: z.string(), survived: z.boolean() })) })
    .parse(JSON.parse(stdout))
  expect(code).toBe(1)
  expect(byPath).toEqual({})
  expect(card.faults).toHaveLength(chaosFaults.length)
  expect(card.survived).toBe(card.faults.filter(({ survived }) => survived).length)
  expect(card.faults.find(({ fault }) => fault === 'three times what all can do')?.survived).toBe(false)
})

test('a stage reaches nothing outside, and keeps what is to be tried', () => {
  const config = configSchema.parse({
    fleet: { nodes: [{ url: 'http://10.0.0.1:1' }], retry: { retriesMax: 7 }, admission: { queueMax: 9 } },
    observe: { trace: { endpoint: 'http://10.0.0.2:4318' }, log: { file: '/var/log/corral.log' } },
    redis: { url: 'redis://10.0.0.3' },
    store: { url: 'postgres://10.0.0.4/corral' },
    identity: { mode: 'jwt', issuers: [{ issuer: 'https://10.0.0.5', audience: ['a'], jwksUrl: 'https://10.0.0.5/keys' }] },
    http: { host: '0.0.0.0' },
  })
  const staged = stagedConfig(config, [{ url: 'http://127.0.0.1:2', name: 'a', slots: 4 }])
  expect(JSON.stringify(staged)).not.toMatch(/10\.0\.0|var\/log|0\.0\.0\.0/)
  expect([staged.fleet.retry.retriesMax, staged.fleet.admission.queueMax, staged.identity.mode]).toEqual([7, 9, 'open'])
})

test('a stream that ends without a word breaks every promise', () => {
  const reply = (kind: Reply['kind'], toldWhen = false): Reply => ({ kind, what: kind, firstFrameMs: 1, attempts: 1, toldWhen })
  const ends = { returned: true, settled: true }
  const good = Array.from({ length: 8 }, () => reply('good'))
  for (const promised of ['nothing lost', 'cut and told', 'told to come back'] as const) {
    expect(reasonOf({ promised }, good, ends)).toBeNull()
    expect(reasonOf({ promised }, [...good, reply('cut silently')], ends)).toContain('without a word')
  }
  expect(reasonOf({ promised: 'nothing lost' }, [...good, reply('cut')], ends)).toContain('1 of 9')
  expect(reasonOf({ promised: 'cut and told' }, [reply('cut'), ...good], ends)).toBeNull()
  expect(reasonOf({ promised: 'cut and told' }, [reply('cut'), ...good], { ...ends, settled: false })).toContain('still break')
  expect(reasonOf({ promised: 'told to come back' }, [reply('refused', true), reply('refused')], ends)).toBeNull()
  expect(reasonOf({ promised: 'told to come back' }, [reply('refused'), reply('refused')], ends)).toContain('without a time')
  expect(reasonOf({ promised: 'told to come back' }, good, { ...ends, returned: false })).toContain('return')
})

test('a stream that had begun is told what can help it, and nothing of retries', () => {
  const config = configSchema.parse({ fleet: { retry: { enabled: false }, deadlines: { idleMsMin: 9_000 } } })
  const [breaks] = named('ends streams early')
  const [hangs] = named('hangs in mid-stream')
  const [killed] = named('process killed')
  if (breaks === undefined || hangs === undefined || killed === undefined) throw new Error('a fault has another name')
  expect(fixOf(hangs, 'standing stream', config)).toBe('fleet.deadlines.idleMsMin is 9.0s: lower it')
  expect(fixOf(hangs, 'broken stream', config)).toBe('fleet.breaker.consecutiveBrokenStreams is 2: lower it')
  expect(fixOf(breaks, 'broken stream', config)).toBe('fleet.breaker.consecutiveBrokenStreams is 2: lower it')
  expect(fixOf(killed, 'broken stream', config)).toBe('fleet.probe.intervalMs is 1.0s: lower it')
  expect(fixOf(breaks, 'before the answer', config)).toContain('fleet.retry.enabled: true')
  const closed = configSchema.parse({ fleet: { retry: { enabled: false }, breaker: { enabled: false } } })
  expect(fixOf(breaks, 'broken stream', closed)).toContain('fleet.breaker.enabled: true')
  const [away] = named('all nodes away, then back')
  expect(away && fixOf(away, 'before the answer', config)).toBe('fleet.probe.intervalMs is 1.0s: lower it')
})

test(
  'the end of the whole run ends the fault that is playing and those to come, and none of them passes',
  { timeout: testMsMax },
  async () => {
    const run = new AbortController()
    const [first, ...others] = chaosFaults
    if (first === undefined) throw new Error('there are no faults')
    const faults = [{ ...first, strike: () => run.abort() }, ...others]
    const scores = await playAll(playing(configSchema.parse({}), run.signal), faults)
    expect(scores).toHaveLength(faults.length)
    expect(scores.filter(({ survived }) => survived)).toEqual([])
    expect(new Set(scores.map(({ reason }) => reason))).toEqual(new Set(['the time of the whole run was up before it was through']))
  },
)
