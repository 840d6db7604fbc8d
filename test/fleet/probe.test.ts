// What the answers of probes mean for a node.

import { expect, test } from 'vitest'

import { fleetOptions } from '../../src/fleet/options.ts'
import { createProber, type NodeChange, type Prober } from '../../src/fleet/probe.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { bareNode } from './bare-node.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

/** Nodes of these names that answer as Ollama, and what they were asked, as `name path`. */
function answeringNodes(names: readonly string[], version: () => string) {
  const asked: string[] = []
  const nodes = names.map((name) => {
    const bare = bareNode(name, { 'm:latest': {} })
    const request = ({ path }: { readonly path: string }) => {
      asked.push(`${name} ${path}`)
      const text = path === '/api/version' ? `{"version":"${version()}"}` : '{"models":[]}'
      return Promise.resolve({ status: 200, headers: {}, body: Buffer.from(text) })
    }
    return { ...bare, transport: { ...bare.transport, request } }
  })
  return { nodes, asked }
}

interface Probing {
  readonly nodes: readonly FleetNode[]
  readonly clock: ManualClock
  readonly onChange?: (change: NodeChange) => void
}

function startedProber({ nodes, clock, onChange }: Probing): Prober {
  const ignore = (): void => undefined
  const prober = createProber({
    nodes: () => nodes,
    clock,
    options: () => fleetOptions.parse({}).probe,
    random: () => 0,
    events: { nodeUp: ignore, nodeDown: ignore, probeFailed: ignore, probeEnded: ignore },
    onChange: (_, change) => onChange?.(change),
  })
  prober.start()
  return prober
}

const settled = () => new Promise(setImmediate)

test('another version at the same address is another process: its lists are read at once', async () => {
  let version = '0.33.0'
  const { nodes, asked } = answeringNodes(['a'], () => version)
  const changes: NodeChange[] = []
  const clock = manualClock()
  const prober = startedProber({ nodes, clock, onChange: (change) => changes.push(change) })
  await settled()
  expect(changes).not.toContain('replaced')
  version = '0.34.0'
  asked.length = 0
  clock.advance(1_000)
  await settled()
  prober.stop()
  expect(changes.filter((change) => change === 'replaced')).toHaveLength(1)
  expect(asked.toSorted()).toEqual(['a /api/ps', 'a /api/tags', 'a /api/version'])
})

test('nodes are asked in rounds: one wake-up for all of them, also for who was asked in between', async () => {
  const { nodes, asked } = answeringNodes(['a', 'b', 'c'], () => '0.33.0')
  const clock = manualClock()
  const prober = startedProber({ nodes, clock })
  await settled()
  // Life, models, models in memory: a timer for each.
  expect(clock.pending).toBe(3)
  clock.advance(900)
  const [first] = nodes
  if (first !== undefined) await prober.probeNow(first)
  asked.length = 0
  clock.advance(100)
  await settled()
  expect(asked).toEqual(['b /api/version', 'c /api/version', 'a /api/version'])
  expect(clock.pending).toBe(3)
  prober.stop()
  expect(clock.pending).toBe(0)
})
