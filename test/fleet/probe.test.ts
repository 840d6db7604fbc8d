// What the answers of probes mean for a node.

import { expect, test } from 'vitest'

import { fleetOptions } from '../../src/fleet/options.ts'
import { createProber, type NodeChange } from '../../src/fleet/probe.ts'
import { bareNode } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'

test('another version at the same address is another process: its lists are read at once', async () => {
  let version = '0.33.0'
  const asked: string[] = []
  const bare = bareNode('a', { 'm:latest': {} })
  const request = ({ path }: { readonly path: string }) => {
    asked.push(path)
    const text = path === '/api/version' ? `{"version":"${version}"}` : '{"models":[]}'
    return Promise.resolve({ status: 200, headers: {}, body: Buffer.from(text) })
  }
  const node = { ...bare, transport: { ...bare.transport, request } }
  const changes: NodeChange[] = []
  const clock = manualClock()
  const ignore = (): void => undefined
  const prober = createProber({
    nodes: () => [node],
    clock,
    options: () => fleetOptions.parse({}).probe,
    random: () => 0,
    events: { nodeUp: ignore, nodeDown: ignore, probeFailed: ignore, probeEnded: ignore },
    onChange: (_, change) => changes.push(change),
  })
  const settled = () => new Promise(setImmediate)
  prober.start()
  await settled()
  expect(changes).not.toContain('replaced')
  version = '0.34.0'
  asked.length = 0
  clock.advance(1_000)
  await settled()
  prober.stop()
  expect(changes.filter((change) => change === 'replaced')).toHaveLength(1)
  expect(asked.toSorted()).toEqual(['/api/ps', '/api/tags', '/api/version'])
})
