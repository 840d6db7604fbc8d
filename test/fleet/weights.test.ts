// Which names share weights: who is asked for what, and how often.

import { expect, test } from 'vitest'

import { fleetOptions } from '../../src/fleet/options.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { WeightsBook } from '../../src/fleet/weights.ts'
import { bareNode } from './bare-node.ts'

const hex = (digit: string): string => digit.repeat(64)
const modelfile = (weights: string): string => JSON.stringify({ modelfile: `FROM /blobs/sha256-${weights}\n`, parameters: 'num_ctx 2048' })

/** A node with models of one architecture, which answers each `/api/show` with these bodies in turn; null: not at all. */
function setUp(digests: readonly string[], bodies: readonly (string | null)[]) {
  const asked: string[] = []
  const node: FleetNode = bareNode('a', {})
  const tag = (digest: string) => ({ name: digest, digest, sizeBytes: 1, modifiedAt: '', family: 'llama', raw: {} })
  node.models = new Map(digests.map((digest) => [digest, tag(digest)]))
  const request = ({ path }: { readonly path: string }) => {
    const body = bodies[asked.length] ?? null
    asked.push(path)
    return Promise.resolve({ status: body === null ? 500 : 200, headers: {}, body: Buffer.from(body ?? '') })
  }
  const learned: string[] = []
  const asking: FleetNode = { ...node, transport: { ...node.transport, request } }
  const book = new WeightsBook({
    nodes: () => [asking],
    options: () => fleetOptions.parse({}),
    onLearned: (digest, weights) => learned.push(`${digest} is ${weights[0] ?? ''}`),
  })
  return { book, node: asking, asked, learned }
}

test('a digest is asked for once, also when its answer names no weights', async () => {
  const { book, node, asked, learned } = setUp(['d1', 'd2'], [modelfile(hex('a')), '{"modelfile":"FROM elsewhere"}'])
  for (let time = 0; time < 3; time += 1) await book.learn(node)
  expect(asked).toHaveLength(2)
  expect(learned).toEqual(['d1 is a'])
  expect([book.weightsOf('d1'), book.weightsOf('d2'), book.optionsOf('d1')]).toEqual([hex('a'), null, { num_ctx: 2_048 }])
})

test('what fails is asked again', async () => {
  const { book, node, learned } = setUp(['d1', 'd2'], [null, modelfile(hex('b')), modelfile(hex('b'))])
  await book.learn(node)
  expect(learned).toEqual(['d2 is b'])
  await book.learn(node)
  expect(learned).toEqual(['d2 is b', 'd1 is b'])
})

test('one digest of an architecture is not asked for, nor a node that is down', async () => {
  const alone = setUp(['d1'], [modelfile(hex('a'))])
  await alone.book.learn(alone.node)
  const down = setUp(['d1', 'd2'], [modelfile(hex('a'))])
  down.node.up = false
  await down.book.learn(down.node)
  expect([alone.asked, down.asked]).toEqual([[], []])
})

test('what nobody lists any more is forgotten', async () => {
  const { book, node } = setUp(['d1', 'd2'], [modelfile(hex('a')), modelfile(hex('a'))])
  await book.learn(node)
  node.models = new Map([...node.models].slice(1))
  await book.learn(node)
  expect([book.weightsOf('d1'), book.weightsOf('d2')]).toEqual([null, hex('a')])
})

test('what a name led to when it was pulled anew during the question is not taken for its old digest, though another name has that', async () => {
  const { book, node, learned } = setUp(['d1', 'd2'], [modelfile(hex('a')), modelfile(hex('b'))])
  const asking = book.learn(node)
  const [first, second] = node.models.values()
  if (first === undefined || second === undefined) expect.fail()
  node.models = new Map([
    ['d1', { ...first, digest: 'd3' }],
    ['copy', first],
    ['d2', second],
  ])
  await asking
  expect(learned).toEqual(['d2 is b'])
})

test('a slow node is not asked for what another one said meanwhile', async () => {
  const { book, node, asked } = setUp(['d1', 'd2'], [modelfile(hex('a')), modelfile(hex('b'))])
  const slow = Promise.withResolvers<{ status: number; headers: Record<string, string>; body: Buffer }>()
  const names: unknown[] = []
  const request = ({ body }: { readonly body: unknown }) => {
    names.push(body)
    return slow.promise
  }
  const asking = book.learn({ ...node, transport: { ...node.transport, request } })
  await book.learn(node)
  slow.resolve({ status: 200, headers: {}, body: Buffer.from(modelfile(hex('c'))) })
  await asking
  expect([asked.length, names]).toEqual([2, ['{"model":"d1"}']])
  expect(book.weightsOf('d1')).toBe(hex('a'))
})
