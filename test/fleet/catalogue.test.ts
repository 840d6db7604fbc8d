// Which node holds which model: aliases, one digest per name, and 404s that contradict a list.

import { describe, expect, test } from 'vitest'

import { type Catalogue, createCatalogue } from '../../src/fleet/catalogue.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { bareNode, list } from './bare-node.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

interface Setup {
  readonly catalogue: Catalogue
  readonly clock: ManualClock
  readonly drifts: string[]
}

function setUp(nodes: readonly FleetNode[], aliases: Record<string, string> = {}): Setup {
  const clock = manualClock()
  const drifts: string[] = []
  const catalogue = createCatalogue({
    nodes: () => nodes,
    aliases: () => aliases,
    clock,
    onDrift: (model, digests) => drifts.push(`${model} ${[...digests.keys()].join()}`),
  })
  return { catalogue, clock, drifts }
}

function holders(catalogue: Catalogue, model: string): string[] {
  return catalogue.resolve(model).holders.map(({ name }) => name)
}

const older = '2026-01-01T00:00:00Z'
const newer = '2026-02-01T00:00:00Z'

describe('names', () => {
  test('a name without a tag is the latest one, and the library is no part of it', () => {
    const { catalogue } = setUp([bareNode('a', { 'm:latest': {} })])
    expect(catalogue.resolve('m').name).toBe('m:latest')
    expect(holders(catalogue, 'm')).toEqual(['a'])
  })

  test('an alias leads to the holders of its target', () => {
    const { catalogue } = setUp([bareNode('a', { 'm:latest': {} }), bareNode('b', { 'other:latest': {} })], { 'gpt-4': 'm' })
    expect(catalogue.resolve('gpt-4')).toMatchObject({ name: 'm:latest', requested: 'gpt-4', known: true })
    expect(holders(catalogue, 'gpt-4')).toEqual(['a'])
  })

  test('a model that nobody lists is not known', () => {
    const { catalogue } = setUp([bareNode('a')])
    expect(catalogue.resolve('m')).toMatchObject({ known: false, holders: [], digest: null })
  })

  test('all names of the fleet are listed once', () => {
    const { catalogue } = setUp([bareNode('a', { 'm:latest': {}, 'n:latest': {} }), bareNode('b', { 'm:latest': {} })])
    expect(catalogue.names()).toEqual(['m:latest', 'n:latest'])
  })
})

describe('digest drift', () => {
  test('the digest of the majority is balanced over', () => {
    const nodes = ['a', 'b', 'c'].map((name) =>
      bareNode(name, { 'm:latest': { digest: name === 'c' ? 'new' : 'old', modifiedAt: name === 'c' ? newer : older } }),
    )
    const { catalogue } = setUp(nodes)
    expect(holders(catalogue, 'm')).toEqual(['a', 'b'])
    expect(catalogue.resolve('m').digest).toBe('old')
  })

  test('among equals the one modified last is balanced over', () => {
    const { catalogue } = setUp([
      bareNode('a', { 'm:latest': { digest: 'old', modifiedAt: older } }),
      bareNode('b', { 'm:latest': { digest: 'new', modifiedAt: newer } }),
    ])
    expect(holders(catalogue, 'm')).toEqual(['b'])
  })

  test.each([
    ['2026-11-28T05:00:00Z', '2026-11-28T09:00:00+09:00'],
    ['2026-11-28T05:00:00.000000002Z', '2026-11-28T05:00:00.000000001Z'],
    ['2026-11-28T05:00:00Z', 'not known'],
  ])('modified last means the instant: %s is after %s', (later, earlier) => {
    const { catalogue } = setUp([
      bareNode('a', { 'm:latest': { digest: 'old', modifiedAt: earlier } }),
      bareNode('b', { 'm:latest': { digest: 'new', modifiedAt: later } }),
    ])
    expect(holders(catalogue, 'm')).toEqual(['b'])
  })

  test('another digest answers while no node of the chosen one is up, and gives way when one returns', () => {
    const nodes = ['a', 'b', 'c'].map((name) => bareNode(name, { 'm:latest': { digest: name === 'c' ? 'new' : 'old' } }))
    const { catalogue } = setUp(nodes)
    const [a, b] = nodes
    for (const node of nodes.slice(0, 2)) node.up = false
    catalogue.invalidate()
    expect(holders(catalogue, 'm')).toEqual(['c'])
    expect(catalogue.resolve('m').digest).toBe('new')
    if (a !== undefined) a.up = true
    if (b !== undefined) b.draining = true
    catalogue.invalidate()
    expect(holders(catalogue, 'm')).toEqual(['a'])
  })

  test('while no holder at all is up the choice stays', () => {
    const nodes = ['a', 'b', 'c'].map((name) => bareNode(name, { 'm:latest': { digest: name === 'c' ? 'new' : 'old' } }))
    const { catalogue } = setUp(nodes)
    for (const node of nodes) node.up = false
    catalogue.invalidate()
    expect(holders(catalogue, 'm')).toEqual(['a', 'b'])
  })

  test('a group of nodes has a digest of its own', () => {
    const nodes = ['a', 'b', 'c', 'd'].map((name) =>
      bareNode(name, { 'm:latest': { digest: name < 'c' ? 'many' : name } }, name < 'c' ? {} : { group: `group-${name}` }),
    )
    const { catalogue } = setUp(nodes)
    const of = (group: string | null) => {
      const { holders: all, digest, known } = catalogue.resolve('m', group)
      return { holders: all.map(({ name }) => name), digest, known }
    }
    expect(of(null)).toEqual({ holders: ['a', 'b'], digest: 'many', known: true })
    expect(of('group-c')).toEqual({ holders: ['c'], digest: 'c', known: true })
    expect(of('group-d')).toEqual({ holders: ['d'], digest: 'd', known: true })
    expect(of('nobody')).toEqual({ holders: [], digest: null, known: true })
  })

  test('each state of drift is told once, and told anew after it was over', () => {
    const b = bareNode('b', { 'm:latest': { digest: 'new' } })
    const { catalogue, drifts } = setUp([bareNode('a', { 'm:latest': { digest: 'old' } }), b])
    catalogue.invalidate()
    expect(drifts).toEqual(['m:latest old,new'])
    list(b, { 'm:latest': { digest: 'old' } })
    catalogue.invalidate()
    expect(catalogue.drift().size).toBe(0)
    list(b, { 'm:latest': { digest: 'new' } })
    catalogue.invalidate()
    expect(drifts).toHaveLength(2)
  })
})

describe('a 404 of a node that lists the model', () => {
  test('outweighs the list for ten seconds', () => {
    const [a, b] = [bareNode('a', { 'm:latest': {} }), bareNode('b', { 'm:latest': {} })]
    const { catalogue, clock } = setUp([a, b])
    const { version } = catalogue
    catalogue.noteMissing(a, 'm:latest', clock.nowMs())
    expect(catalogue.version).toBeGreaterThan(version)
    expect(holders(catalogue, 'm')).toEqual(['b'])
    clock.advance(9_999)
    expect(holders(catalogue, 'm')).toEqual(['b'])
    const before = catalogue.version
    clock.advance(1)
    expect(catalogue.version).toBeGreaterThan(before)
    expect(holders(catalogue, 'm')).toEqual(['a', 'b'])
  })

  test('concerns that model on that node only', () => {
    const a = bareNode('a', { 'm:latest': {}, 'n:latest': {} })
    const { catalogue, clock } = setUp([a])
    catalogue.noteMissing(a, 'm:latest', clock.nowMs())
    expect(catalogue.resolve('m').known).toBe(false)
    expect(holders(catalogue, 'n')).toEqual(['a'])
  })
})

test('a draining node keeps its models known but is not asked', () => {
  const a = bareNode('a', { 'm:latest': {} })
  a.draining = true
  const { catalogue } = setUp([a])
  expect(catalogue.resolve('m')).toMatchObject({ known: true, holders: [] })
})

test('known answers are kept until something changes', () => {
  const { catalogue } = setUp([bareNode('a', { 'm:latest': {} })])
  expect(catalogue.resolve('m')).toBe(catalogue.resolve('m'))
  const before = catalogue.resolve('m')
  catalogue.invalidate()
  expect(catalogue.resolve('m')).not.toBe(before)
})
