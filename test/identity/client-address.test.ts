// Whose address counts: the peer's, or what a trusted proxy says (B54).
import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { IncomingMessage as RealMessage } from 'node:http'

import { describe, expect, test } from 'vitest'

import { clientAddress, isAddressBlock } from '../../src/http/auth/client-address.ts'
import { type KeyedGateway, startKeyedHerd } from './keyed-herd.ts'

function arriving(peer: string, forwarded?: string): IncomingMessage {
  const socket = new Socket()
  Object.defineProperty(socket, 'remoteAddress', { value: peer })
  const incoming = new RealMessage(socket)
  if (forwarded !== undefined) incoming.headers['x-forwarded-for'] = forwarded
  incoming.headers['x-real-ip'] = '6.6.6.6'
  incoming.headers['forwarded'] = 'for=6.6.6.6'
  return incoming
}

const proxies = ['10.0.0.0/8', '192.0.2.7', 'fd00::/8']

describe('behind trusted proxies', () => {
  test.each([
    ['no header', '10.1.1.1', undefined, '10.1.1.1'],
    ['one hop', '10.1.1.1', '203.0.113.9', '203.0.113.9'],
    ['what the client invented stands further left', '10.1.1.1', '1.1.1.1, 203.0.113.9', '203.0.113.9'],
    ['several trusted hops', '10.1.1.1', '1.1.1.1, 203.0.113.9, 192.0.2.7, 10.9.9.9', '203.0.113.9'],
    ['an invented trusted address changes nothing', '10.1.1.1', '10.2.2.2, 203.0.113.9', '203.0.113.9'],
    ['all of them trusted: the furthest', '10.1.1.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['an untrusted peer', '203.0.113.1', '1.1.1.1', '203.0.113.1'],
    ['a neighbour of the trusted one', '192.0.2.8', '1.1.1.1', '192.0.2.8'],
    ['an IPv4 peer in the clothes of IPv6', '::ffff:10.1.1.1', '::ffff:203.0.113.9', '203.0.113.9'],
    ['IPv6', 'fd00::1', '2001:db8::5, fd00::2', '2001:db8::5'],
    ['with ports', '10.1.1.1', '[2001:db8::5]:4711', '2001:db8::5'],
    ['with a port', '10.1.1.1', '203.0.113.9:4711', '203.0.113.9'],
    ['nonsense at the right: the proxy', '10.1.1.1', '203.0.113.9, unknown', '10.1.1.1'],
    ['nonsense further left: up to there', '10.1.1.1', 'unknown, 10.2.2.2', '10.2.2.2'],
    ['an empty header', '10.1.1.1', '', '10.1.1.1'],
    ['a comma at the end', '10.1.1.1', '203.0.113.9,', '10.1.1.1'],
    ['commas alone', '10.1.1.1', ',,,', '10.1.1.1'],
    ['a zone', '10.1.1.1', 'fe80::1%eth0', '10.1.1.1'],
  ])('%s', (_, peer, forwarded, client) => {
    expect(clientAddress(proxies)(arriving(peer, forwarded))).toBe(client)
  })

  test('a long chain of trusted addresses is not followed to its end', () => {
    const chain = Array.from({ length: 1_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`).join(', ')
    expect(clientAddress(proxies)(arriving('10.1.1.1', `203.0.113.9, ${chain}`))).toMatch(/^10\./)
  })
})

test('without trusted proxies no header counts', () => {
  const addressOf = clientAddress([])
  for (const peer of ['127.0.0.1', '::1', '10.0.0.1']) expect(addressOf(arriving(peer, '1.1.1.1'))).toBe(peer)
})

test.each([
  ['10.0.0.0/8', true],
  ['10.0.0.1', true],
  ['::1', true],
  ['fd00::/8', true],
  ['0.0.0.0/0', true],
  ['10.0.0.0/33', false],
  ['::/129', false],
  ['10.0.0.0/', false],
  ['10.0.0.0/8/8', false],
  ['10.0.0', false],
  ['proxy.example', false],
  ['', false],
])('%s as a block: %s', (text, good) => {
  expect(isAddressBlock(text)).toBe(good)
})

describe('through the gateway', () => {
  async function gatewayWith(trustedProxies: readonly string[]): Promise<KeyedGateway> {
    const limits = { address: { unauthenticatedPerMinute: 3 } }
    const { gateways } = await startKeyedHerd({ sections: { http: { trustedProxies }, limits } })
    const [gateway] = gateways
    if (gateway === undefined) throw new Error('no gateway')
    return gateway
  }
  const guess = async (gateway: KeyedGateway, from: string): Promise<number> =>
    (await gateway.ask('/api/tags', 'corral_wrong', undefined, { 'x-forwarded-for': from })).status

  async function addressesOfDenials(gateway: KeyedGateway): Promise<Set<string>> {
    await gateway.identity.audit.flush()
    const found = new Set<string>()
    for await (const page of gateway.identity.audit.read('system', 0)) {
      for (const { decision, address } of page) if (decision === 'denied') found.add(address)
    }
    return found
  }

  test('each client behind a trusted proxy has its own limit and its own name in the audit log', async () => {
    const gateway = await gatewayWith(['127.0.0.1'])
    const first: number[] = []
    for (let time = 0; time < 6; time += 1) first.push(await guess(gateway, `9.9.9.${time}, 203.0.113.1`))
    expect(first).toContain(429)
    expect(await guess(gateway, '203.0.113.2')).toBe(401)
    expect(await addressesOfDenials(gateway)).toEqual(new Set(['203.0.113.1', '203.0.113.2']))
  })

  test('from anybody else the header opens no way around the limit', async () => {
    const gateway = await gatewayWith(['10.0.0.0/8'])
    const statuses: number[] = []
    for (let time = 0; time < 6; time += 1) statuses.push(await guess(gateway, `203.0.113.${time}`))
    expect(statuses).toContain(429)
    expect(await addressesOfDenials(gateway)).toEqual(new Set(['127.0.0.1']))
  })
})
