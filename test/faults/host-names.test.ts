// F67: nodes given by host name while the name service fails, hangs, flips or lies.

import dns, { type LookupAddress } from 'node:dns'
import { createServer } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'

import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { AddressBook, type Resolve } from '../../src/fleet/address-book.ts'
import { createTransport } from '../../src/fleet/transport.ts'
import { isComplete } from '../fleet/ask.ts'
import { expectIdle } from '../fleet/gateway.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { answerChat, startFakeNode } from '../http/fake-node.ts'
import { crowd, openFront } from './front.ts'

afterEach(() => void vi.restoreAllMocks())

const keepMs = 300_000
const resolveMsMax = 100
const v4 = (...addresses: string[]): LookupAddress[] => addresses.map((address) => ({ address, family: 4 }))
const failed = (code: string): Error => Object.assign(new Error(code), { code })

/** A book whose name service answers with what `answer` gives at the moment. */
function openBook(first: LookupAddress[]) {
  const clock = manualClock()
  const service: { answer: () => Promise<LookupAddress[]>; asked: number } = { answer: () => Promise.resolve(first), asked: 0 }
  const resolve: Resolve = () => {
    service.asked += 1
    return service.answer()
  }
  const book = new AddressBook({ clock, resolveMsMax, resolve, keepMs })
  return { clock, service, look: () => look(book.lookup) }
}

/** The addresses that a socket would try, in order, or the code of the error. */
function look(lookup: LookupFunction): Promise<readonly string[] | string | undefined> {
  return new Promise((resolve) => {
    lookup('node.test', { all: true }, (error, addresses) => {
      if (error !== null) resolve(error.code)
      else resolve(Array.isArray(addresses) ? addresses.map(({ address }) => address) : [addresses])
    })
  })
}

describe('a name service', () => {
  test.each(['ENOTFOUND', 'EAI_AGAIN'])('that fails with %s leaves the last good address in use for five minutes', async (code) => {
    const { clock, service, look: lookUp } = openBook(v4('10.0.0.1'))
    expect(await lookUp()).toEqual(['10.0.0.1'])
    service.answer = () => Promise.reject(failed(code))
    clock.advance(keepMs)
    expect(await lookUp()).toEqual(['10.0.0.1'])
    clock.advance(1)
    expect(await lookUp()).toBe(code)
    service.answer = () => Promise.resolve(v4('10.0.0.9'))
    expect(await lookUp()).toEqual(['10.0.0.9'])
  })

  test('that never knew the name is believed', async () => {
    const { service, look: lookUp } = openBook([])
    service.answer = () => Promise.reject(failed('ENOTFOUND'))
    expect(await lookUp()).toBe('ENOTFOUND')
  })

  test('that hangs is asked once, waited for at most its time, and believed when it wakes', async () => {
    const { clock, service, look: lookUp } = openBook(v4('10.0.0.1'))
    await lookUp()
    const late = Promise.withResolvers<LookupAddress[]>()
    service.answer = () => late.promise
    const waiting = [lookUp(), lookUp()]
    clock.advance(resolveMsMax)
    expect(await Promise.all(waiting)).toEqual([['10.0.0.1'], ['10.0.0.1']])
    const next = lookUp()
    clock.advance(0)
    expect(await next).toEqual(['10.0.0.1'])
    expect(service.asked).toBe(2)
    const last = lookUp()
    late.resolve(v4('10.0.0.1', '10.0.0.2'))
    expect(await last).toEqual(['10.0.0.1', '10.0.0.2'])
  })

  test('that flips is followed behind the last good address, and alone after five minutes', async () => {
    const { clock, service, look: lookUp } = openBook(v4('10.0.0.1'))
    await lookUp()
    service.answer = () => Promise.resolve(v4('10.0.0.2'))
    for (let time = 0; time < 3; time += 1) expect(await lookUp()).toEqual(['10.0.0.1', '10.0.0.2'])
    clock.advance(keepMs + 1)
    expect(await lookUp()).toEqual(['10.0.0.2'])
  })

  test('that adds and takes away addresses of one set is followed at once', async () => {
    const { service, look: lookUp } = openBook(v4('10.0.0.1', '10.0.0.2'))
    await lookUp()
    service.answer = () => Promise.resolve(v4('10.0.0.2', '10.0.0.3'))
    expect(await lookUp()).toEqual(['10.0.0.2', '10.0.0.3'])
  })

  test.each(['127.0.0.1', '127.9.9.9', '0.0.0.0', '169.254.169.254', '::1', '::', '::ffff:127.0.0.1', 'fe80::1'])(
    'that turns the name of another machine into %s is not followed, ever',
    async (address) => {
      const { clock, service, look: lookUp } = openBook(v4('10.0.0.1'))
      await lookUp()
      service.answer = () => Promise.resolve([{ address, family: address.includes(':') ? 6 : 4 }])
      expect(await lookUp()).toEqual(['10.0.0.1'])
      clock.advance(keepMs + 1)
      expect(await lookUp()).toBe('ENOTFOUND')
    },
  )

  test('that names this machine from the start is believed', async () => {
    const { look: lookUp } = openBook(v4('127.0.0.1'))
    expect([await lookUp(), await lookUp()]).toEqual([['127.0.0.1'], ['127.0.0.1']])
  })
})

describe('a transport', () => {
  /** A server that closes each connection after its answer, so that each request looks the name up. */
  async function openServer(): Promise<number> {
    const server = createServer((_, outgoing) => void outgoing.writeHead(200, { connection: 'close' }).end('here'))
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    onTestFinished(() => void server.close())
    return (server.address() as AddressInfo).port
  }

  test.each<[string, () => Promise<LookupAddress[]>]>([
    ['fails', () => Promise.reject(failed('EAI_AGAIN'))],
    ['hangs', () => new Promise(() => undefined)],
    ['flips to a stranger that refuses', () => Promise.resolve(v4('127.0.0.99'))],
  ])('reaches its node while the name service %s', async (_, answer) => {
    let now: Resolve = () => Promise.resolve(v4('127.0.0.1'))
    const transport = createTransport({
      url: `http://node.test:${await openServer()}`,
      headers: {},
      connectTimeoutMs: 400,
      clock: systemClock,
      resolve: (host, options) => now(host, options),
    })
    onTestFinished(() => transport.close())
    const get = () => transport.request({ method: 'GET', path: '/', headers: [], body: null }, { timeoutMs: 2_000 })
    expect((await get()).body.toString()).toBe('here')
    now = answer
    for (let time = 0; time < 3; time += 1) expect((await get()).body.toString()).toBe('here')
  })

  test('finds a node that moved as soon as the old address refuses', async () => {
    const port = await openServer()
    let now = v4('127.0.0.98')
    const url = `http://node.test:${port}`
    const resolve: Resolve = () => Promise.resolve(now)
    const transport = createTransport({ url, headers: {}, connectTimeoutMs: 400, clock: systemClock, resolve })
    onTestFinished(() => transport.close())
    const get = () => transport.request({ method: 'GET', path: '/', headers: [], body: null }, { timeoutMs: 2_000 })
    await expect(get()).rejects.toMatchObject({ kind: 'connect' })
    now = v4('127.0.0.1')
    expect((await get()).body.toString()).toBe('here')
  })
})

describe('a gateway whose nodes have names', () => {
  test('serves all requests while the name service is gone', async () => {
    const real = dns.lookup.bind(dns)
    let isGone = false
    let refused = 0
    vi.spyOn(dns, 'lookup').mockImplementation(((host: string, options: object, callback: (...results: unknown[]) => void) => {
      if (!host.endsWith('.test')) return void Reflect.apply(real, dns, [host, options, callback])
      if (isGone) refused += 1
      process.nextTick(callback, isGone ? failed('EAI_AGAIN') : null, isGone ? undefined : v4('127.0.0.1'))
    }) as unknown as typeof dns.lookup)
    const fakes = [await startFakeNode(), await startFakeNode()]
    for (const fake of fakes) {
      // A connection per answer, so that each one needs the name.
      fake.script = (incoming, outgoing, body) => answerChat(incoming, outgoing.setHeader('connection', 'close'), body)
      onTestFinished(() => fake.close())
    }
    const nodes = fakes.map(({ url }, index) => ({ url: url.replace('127.0.0.1', `n${index}.test`), name: `n${index}` }))
    const gateway = await openFront(nodes, { probe: { intervalMs: 50 } })
    isGone = true
    const replies = await crowd(gateway.url, { requests: 60, atOnce: 12, change: { model: 'small' } })
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    expect(refused).toBeGreaterThan(0)
    expect(gateway.app.fleet.nodes.map(({ up }) => up)).toEqual([true, true])
    await expectIdle(gateway)
  })
})
