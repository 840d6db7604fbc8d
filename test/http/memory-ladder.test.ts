/** What is given up for want of memory (F56): the steps by table, the samples by a clock moved by hand, the answers on real sockets. */
import { afterEach, describe, expect, test, vi } from 'vitest'

import { MemoryGuard, type MemoryGuardDeps } from '../../src/http/memory-guard.ts'
import { levelOf, type MemoryStep, nextStep } from '../../src/http/memory-ladder.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeObserver } from '../observe/fixtures.ts'
import { type AskOptions, type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { type RawAnswer, RawClient } from './raw-client.ts'

describe('the ladder', () => {
  test.each<[MemoryStep, number, MemoryStep]>([
    ['normal', 0, 'normal'],
    ['normal', 0.849, 'normal'],
    ['normal', 0.85, 'defer'],
    ['normal', 0.92, 'close'],
    ['normal', 0.95, 'refuse'],
    ['normal', 1.4, 'refuse'],
    ['defer', 0.86, 'defer'],
    ['defer', 0.831, 'defer'],
    ['defer', 0.829, 'normal'],
    ['close', 0.95, 'refuse'],
    ['close', 0.901, 'close'],
    ['close', 0.899, 'defer'],
    ['refuse', 0.931, 'refuse'],
    ['refuse', 0.929, 'close'],
    ['refuse', 0.89, 'defer'],
    ['refuse', 0.5, 'normal'],
  ])('goes from %s at %d of the limit to %s', (before, usedShare, after) => {
    expect(nextStep(before, usedShare)).toBe(after)
  })

  test('has four levels', () => {
    expect((['normal', 'defer', 'close', 'refuse'] as const).map(levelOf)).toEqual([0, 1, 2, 3])
  })
})

describe('the guard', () => {
  const chat = { method: 'POST', target: '/api/chat', priority: null }
  const embed = { method: 'POST', target: '/v1/embeddings?x=1', priority: null }
  const batch = { method: 'POST', target: '/api/chat', priority: 'batch' }

  function create(options: Partial<MemoryGuardDeps> & { systemBytes?: number | null } = {}) {
    const clock = manualClock()
    const memory = { bytes: 0, reads: 0 }
    const reader = {
      usedBytes() {
        memory.reads += 1
        return memory.bytes
      },
      systemLimitBytes: () => options.systemBytes ?? null,
    }
    const guard = new MemoryGuard({ clock, limitBytes: 1_000, reader, events: null, ...options })
    return { guard, clock, memory }
  }

  test.each<[number, string, readonly (string | null)[]]>([
    [100, 'nothing', [null, null, null]],
    [850, 'embeddings and batch requests', [null, 'overloaded', 'overloaded']],
    [920, 'embeddings and batch requests', [null, 'overloaded', 'overloaded']],
    [950, 'everything', ['overloaded', 'overloaded', 'overloaded']],
  ])('at %d of 1000 bytes refuses %s', (bytes, _what, codes) => {
    const { guard, memory } = create()
    memory.bytes = bytes
    guard.start()
    expect([chat, embed, batch].map((request) => guard.refusal(request, true)?.code ?? null)).toEqual(codes)
    guard.stop()
  })

  test('refuses nothing that no other request could make room for', () => {
    const { guard, memory } = create()
    memory.bytes = 2_000
    guard.start()
    expect(guard.refusal(chat, false)).toBeNull()
  })

  test.each(['/livez', '/readyz', '/metrics', '/admin/fleet', '/', '/api//chat', '/nothing'])('answers %s at any step', (target) => {
    const { guard, memory } = create()
    memory.bytes = 2_000
    guard.start()
    expect(guard.refusal({ method: 'GET', target, priority: 'batch' }, true)).toBeNull()
  })

  test('reads memory once a second and never for a request, and stops', () => {
    const { guard, clock, memory } = create()
    guard.start()
    for (let count = 0; count < 50; count += 1) guard.refusal(chat, true)
    expect(memory.reads).toBe(1)
    memory.bytes = 960
    clock.advance(999)
    expect(guard.step).toBe('normal')
    clock.advance(1)
    expect([guard.step, memory.reads]).toEqual(['refuse', 2])
    guard.stop()
    clock.advance(10_000)
    expect(memory.reads).toBe(2)
  })

  test.each([
    [0, 500, 'refuse'],
    [1_000, 500, 'normal'],
    [0, null, 'normal'],
  ])('with the key at %d and the system at %s bytes, 480 bytes in use are %s', (limitBytes, systemBytes, step) => {
    const { guard, memory } = create({ limitBytes, systemBytes })
    memory.bytes = 480
    guard.start()
    expect([guard.step, memory.reads]).toEqual([step, limitBytes === 0 && systemBytes === null ? 0 : 1])
  })

  test('each step and each refusal is in the metrics, each step in the log', async () => {
    const { observer, sink } = makeObserver()
    const { guard, clock, memory } = create({ events: observer })
    memory.bytes = 930
    guard.start()
    guard.refusal(embed, true)
    const { body } = await observer.metrics.render()
    expect(body).toContain('\ncorral_memory_pressure_level 2\n')
    expect(body).toContain('\ncorral_memory_refused_total{step="close"} 1\n')
    memory.bytes = 10
    clock.advance(1_000)
    expect((await observer.metrics.render()).body).toContain('\ncorral_memory_pressure_level 0\n')
    const lines = sink.lines.map((line): unknown => JSON.parse(line))
    expect(lines).toMatchObject([
      { level: 'warn', step: 'close', usedBytes: 930, limitBytes: 1_000, msg: 'short of memory' },
      { level: 'info', step: 'normal', usedBytes: 10, msg: 'memory suffices again' },
    ])
  })
})

describe('the gateway', () => {
  let gateway: Gateway | null = null
  afterEach(async () => {
    vi.restoreAllMocks()
    await gateway?.close()
    gateway = null
  })

  const limitBytes = 1_000_000_000

  /** A gateway that begins with `usedShare` of its memory in use, and answers one request for ever. */
  async function startBusy(usedShare: number): Promise<{ ask(path: string, options?: AskOptions): Promise<RawAnswer> }> {
    vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(usedShare * limitBytes)
    const started = await startGateway({ http: { memoryBytesMax: limitBytes } })
    gateway = started
    const usual = started.node.script
    const arrival = started.node.arrival()
    started.node.script = (incoming, outgoing, body) => {
      if (!body.includes('held')) usual(incoming, outgoing, body)
    }
    const holder = await RawClient.open(started.port)
    holder.send(requestBytes('POST', '/api/chat', { body: goodChat.replace('hi', 'held') }))
    await arrival
    return { ask: (path, options) => started.ask('POST', path, { body: goodChat, ...options }) }
  }

  test('with enough memory answers all, and keeps connections', async () => {
    const { ask } = await startBusy(0.5)
    const { status, headers } = await ask('/api/chat', { headers: ['X-Corral-Priority: batch'] })
    expect([status, headers['connection']]).toEqual([200, 'keep-alive'])
  })

  test('at 85 % turns embeddings and batch away in their dialect, with Retry-After', async () => {
    const { ask } = await startBusy(0.86)
    const embed = await ask('/v1/embeddings', { body: '{"model":"small","input":"x"}' })
    expect([embed.status, embed.headers['retry-after'], JSON.parse(embed.body).error.code]).toEqual([503, '5', 'overloaded'])
    const batch = await ask('/v1/messages', { headers: ['X-Corral-Priority: batch'] })
    expect([batch.status, JSON.parse(batch.body).error.type]).toEqual([503, 'overloaded_error'])
    const chat = await ask('/api/chat')
    expect([chat.status, chat.headers['connection']]).toEqual([200, 'keep-alive'])
  })

  test('at 92 % answers a chat and closes its connection', async () => {
    const { ask } = await startBusy(0.93)
    const { status, headers, body } = await ask('/api/chat')
    expect([status, headers['connection']]).toEqual([200, 'close'])
    expect(body).toContain('"done":true')
  })

  test('at 95 % turns all new requests away while one is answered, but no probe and no scrape', async () => {
    const { ask } = await startBusy(0.96)
    const { status, headers, body } = await ask('/api/chat')
    expect([status, headers['retry-after'], headers['connection']]).toEqual([503, '5', 'close'])
    expect(JSON.parse(body).error).toContain('short of memory')
    for (const path of ['/livez', '/readyz', '/metrics', '/admin/fleet']) expect((await gateway?.ask('GET', path))?.status).toBe(200)
  })
})
