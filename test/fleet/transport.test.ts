// How a connection failed decides whether the node is believed to be down.

import { describe, expect, test } from 'vitest'

import { createProber } from '../../src/fleet/probe.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { toTransportError, TransportError, type TransportErrorKind } from '../../src/fleet/transport.ts'
import { bareNode } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'

describe('an error', () => {
  test.each<[string, TransportErrorKind]>([
    ['ECONNREFUSED', 'connect'],
    ['EHOSTUNREACH', 'connect'],
    ['ENOTFOUND', 'connect'],
    ['UND_ERR_CONNECT_TIMEOUT', 'connect'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'connect'],
    ['EMFILE', 'local'],
    ['ENFILE', 'local'],
    ['EADDRNOTAVAIL', 'local'],
    ['ECONNRESET', 'reset'],
    ['UND_ERR_SOCKET', 'reset'],
    ['HPE_INVALID_CONSTANT', 'protocol'],
    ['UND_ERR_HEADERS_OVERFLOW', 'protocol'],
    ['UND_ERR_ABORTED', 'aborted'],
  ])('%s is of the kind %s', (code, kind) => {
    expect(toTransportError(Object.assign(new Error('x'), { code })).kind).toBe(kind)
  })

  test('on a connection that carried an answer before is a keep-alive race', () => {
    const failed = (bytesRead: number) => toTransportError(Object.assign(new Error('x'), { code: 'UND_ERR_SOCKET', socket: { bytesRead } }))
    expect([failed(0).reusedSocket, failed(1).reusedSocket]).toEqual([false, true])
  })
})

describe('probes that fail', () => {
  test.each<[TransportErrorKind, boolean]>([
    ['connect', false],
    ['local', true],
  ])('for a reason of the kind %s leave the node up: %s', async (kind, up) => {
    const node = {
      ...bareNode('a'),
      transport: { ...bareNode('a').transport, request: () => Promise.reject(new TransportError(kind, 'x')) },
    }
    const ignore = (): void => undefined
    const prober = createProber({
      nodes: () => [node],
      clock: manualClock(),
      options: () => fleetOptions.parse({}).probe,
      random: () => 0,
      events: { nodeUp: ignore, nodeDown: ignore, probeFailed: ignore, probeEnded: ignore },
      onChange: ignore,
    })
    for (let time = 0; time < 3; time += 1) await prober.probeNow(node)
    expect(node.up).toBe(up)
  })
})
