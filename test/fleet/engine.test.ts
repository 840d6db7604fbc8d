// What stored answers are told apart by beside the model: versions of the nodes, and the context length in effect.

import { expect, test } from 'vitest'

import { createCatalogue } from '../../src/fleet/catalogue.ts'
import { Engine } from '../../src/fleet/engine.ts'
import { type Build, NumCtxPolicy } from '../../src/fleet/num-ctx.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { bareNode, list } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'

const unlisted = (name: string): Build => ({ name, digest: null })

function setUp(versions: readonly (string | null)[], numCtx: Readonly<Record<string, unknown>> = {}) {
  const nodes = versions.map((version, index) => Object.assign(bareNode(`n${index}`), { version }))
  const clock = manualClock()
  const catalogue = createCatalogue({ nodes: () => nodes, aliases: () => ({}), clock, onDrift: () => undefined })
  let options = fleetOptions.parse({ numCtx })
  const policy = new NumCtxPolicy(() => options.numCtx)
  const engine = new Engine({ nodes: () => nodes, catalogue, options: () => options, numCtx: policy })
  const reload = (changed: Readonly<Record<string, unknown>>): void => {
    options = fleetOptions.parse({ numCtx: changed })
  }
  return { nodes, catalogue, engine, policy, reload }
}

test('a node never probed changes nothing', () => {
  expect(setUp(['0.33.1', null]).engine.of('m:latest')).toBe(setUp(['0.33.1']).engine.of('m:latest'))
  const { nodes, catalogue, engine } = setUp(['0.33.1'])
  const before = engine.of('m:latest')
  nodes.push(Object.assign(bareNode('late'), { version: null }))
  catalogue.invalidate()
  expect(engine.of('m:latest')).toBe(before)
})

test('another minor version of a node changes it, a patch does not', () => {
  const { nodes, catalogue, engine } = setUp(['0.33.1'])
  const before = engine.of('m:latest')
  const [node] = nodes
  if (node === undefined) throw new Error('no node')
  node.version = '0.33.2'
  catalogue.invalidate()
  expect(engine.of('m:latest')).toBe(before)
  node.version = '0.34.0'
  catalogue.invalidate()
  expect(engine.of('m:latest')).not.toBe(before)
  expect(engine.of('m:latest')).toContain('0.34')
})

test('other buckets change it, since the same request then gets another context length', () => {
  const { engine, reload } = setUp(['0.33.1'], { policy: 'bucket', buckets: [4_096, 8_192] })
  const before = engine.of('m:latest')
  reload({ policy: 'bucket', buckets: [4_096, 16_384] })
  expect(engine.of('m:latest')).not.toBe(before)
})

test('a group has the versions of its own nodes', () => {
  const { nodes, catalogue, engine } = setUp(['0.33.1'])
  nodes.push(Object.assign(bareNode('red', {}, { group: 'red' }), { version: '0.34.0' }))
  catalogue.invalidate()
  expect(engine.of('m:latest')).toContain('0.33,0.34')
  expect(engine.of('m:latest', 'red')).toMatch(/^0\.34;/)
  expect(engine.of('m:latest', 'nobody')).toMatch(/^;/)
})

test('a context length that grew changes it for its model', () => {
  const { engine, policy } = setUp(['0.33.1'], { policy: 'max' })
  const before = { own: engine.of('m:latest'), other: engine.of('other:latest') }
  policy.noteAnswered(unlisted('m:latest'), 8_192)
  expect(engine.of('m:latest')).not.toBe(before.own)
  expect(engine.of('other:latest')).toBe(before.other)
  const grown = engine.of('m:latest')
  policy.noteAnswered(unlisted('m:latest'), 4_096)
  expect(engine.of('m:latest')).toBe(grown)
})

test('a context length that grew is that of a build: the model pulled anew has none', () => {
  const { nodes, catalogue, engine, policy } = setUp(['0.33.1'], { policy: 'max' })
  const [node] = nodes
  if (node === undefined) throw new Error('no node')
  list(node, { 'm:latest': { digest: 'd1' } })
  catalogue.invalidate()
  policy.noteAnswered({ name: 'm:latest', digest: 'd1' }, 8_192)
  expect(engine.of('m:latest')).toMatch(/;8192$/)
  list(node, { 'm:latest': { digest: 'd2' } })
  catalogue.invalidate()
  expect(engine.of('m:latest')).not.toMatch(/;8192$/)
})

test('lengths that models grew to in another order make the same text', () => {
  const texts = [
    ['a', 'b'],
    ['b', 'a'],
  ].map((models) => {
    const { engine, policy } = setUp(['0.33.1'], { policy: 'max' })
    for (const model of models) policy.noteAnswered(unlisted(model), 8_192)
    return [engine.of('a'), engine.of('b')]
  })
  expect(texts[0]).toEqual(texts[1])
})

test('it is put together once while nothing changes', () => {
  const { nodes, engine } = setUp(['0.33.1', '0.33.1'])
  const before = engine.of('m:latest')
  let reads = 0
  for (const node of nodes) {
    Object.defineProperty(node, 'version', {
      get: () => {
        reads += 1
        return '0.33.1'
      },
    })
  }
  for (let time = 0; time < 100; time += 1) expect(engine.of('m:latest')).toBe(before)
  expect(reads).toBe(0)
})
