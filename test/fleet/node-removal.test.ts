// A reload that takes a node out while it answers, and a probe of it that ends afterwards.

import { expect, test } from 'vitest'

import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, chatInTurn, expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const chat = '/api/chat'

/** Reloads the node list without `name`. */
function reloadWithout({ app }: Gateway, name: string): Promise<void> {
  return app.fleet.reconcile(app.fleet.nodes.filter((node) => node.name !== name).map(({ options }) => options))
}

/** Long enough to be under way while the list is reloaded. */
const long = chatBody({ options: { num_predict: 150 } })
const slow = { nodes: 2, numParallel: 4, speed: 2, answerTokens: [150, 150] } as const

test('answers under way on a node that a reload takes out come whole, new ones go to the others, and all is given back', async () => {
  const gateway = await openGateway(slow)
  const running = Array.from({ length: 4 }, () => start(`${gateway.url}${chat}`, long))
  const heads = await Promise.all(running.map(({ head }) => head))
  const [gone] = gateway.app.fleet.nodes
  const use = gone === undefined ? undefined : gateway.app.fleet.pools.use(gone)
  expect(heads.filter(({ node }) => node === gone?.name).length).toBe(2)
  expect(use?.inFlight).toBe(2)

  await reloadWithout(gateway, 'node-1')
  expect(gateway.app.fleet.nodes.map(({ name }) => name)).toEqual(['node-2'])
  const before = asked(gateway, 'node-1', chat)
  await chatInTurn(gateway, 3)
  expect(asked(gateway, 'node-1', chat)).toBe(before)

  const replies = await Promise.all(running.map(({ reply }) => reply))
  expect(replies.every(isComplete)).toBe(true)
  await expectIdle(gateway)
  expect([use?.inFlight, ...[...(use?.runners.values() ?? [])].map(({ inFlight, streaming }) => inFlight + streaming)]).toEqual([0, 0])
})

test('a request that waits for its first frame on a removed node is still answered when that node fails it', async () => {
  const gateway = await openGateway({ nodes: 2 })
  gateway.sim('node-1').control.set('slow-head', { path: chat, delayMs: 400 })
  const asking = [start(`${gateway.url}${chat}`, chatBody()), start(`${gateway.url}${chat}`, chatBody())]
  await until(() => asked(gateway, 'node-1', chat) === 1, 'node-1 has one')
  await reloadWithout(gateway, 'node-1')
  await gateway.sim('node-1').kill()
  const replies = await Promise.all(asking.map(({ reply }) => reply))
  expect(replies.map((reply) => [reply.node, isComplete(reply)])).toEqual([
    ['node-2', true],
    ['node-2', true],
  ])
  await expectIdle(gateway)
})

test('a node that comes back under its name begins anew while old answers still run on it', async () => {
  const gateway = await openGateway(slow)
  const options = gateway.app.fleet.nodes.map((node) => node.options)
  const running = Array.from({ length: 4 }, () => start(`${gateway.url}${chat}`, long))
  await Promise.all(running.map(({ head }) => head))
  await reloadWithout(gateway, 'node-1')
  await gateway.app.fleet.reconcile(options)
  const back = gateway.app.fleet.nodes.find(({ name }) => name === 'node-1')
  if (back === undefined) throw new Error('node-1 is not back')
  expect(gateway.app.fleet.pools.use(back).inFlight).toBe(0)
  expect((await Promise.all(running.map(({ reply }) => reply))).every(isComplete)).toBe(true)
  expect(gateway.app.fleet.pools.use(back).inFlight).toBe(0)
  await expectIdle(gateway)
})

test('what a late probe of a removed node finds changes nothing', async () => {
  const gateway = await openGateway({ nodes: 2, fleet: { probe: { intervalMs: 20, missesUntilDown: 1 } } })
  const { fleet } = gateway.app
  const [gone] = fleet.nodes
  if (gone === undefined) throw new Error('no node')
  await reloadWithout(gateway, 'node-1')
  await gateway.sim('node-1').kill()
  const { version } = fleet.catalogue
  const others = fleet.nodes.map(({ up }) => up)
  // As a probe does that was under way at the removal.
  await fleet.prober.probeNow(gone)
  expect(gone.up).toBe(false)
  expect(fleet.catalogue.version).toBe(version)
  expect(fleet.nodes.map(({ up }) => up)).toEqual(others)
  expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe('node-2')
})

test('a reload keeps what was added and taken out by hand, until the file says something new of it', async () => {
  const gateway = await openGateway({ nodes: 3, warm: false })
  const { fleet } = gateway.app
  const names = (): string[] => fleet.nodes.map(({ name }) => name)
  const [first, second, third] = fleet.nodes.map(({ options }) => options)
  if (first === undefined || second === undefined || third === undefined) throw new Error('no three nodes')
  await fleet.reconcile([first, second])
  await fleet.addNode(third)
  fleet.removeNode('node-2')

  await fleet.reconcile([{ ...first }, { ...second }])
  expect(names()).toEqual(['node-1', 'node-3'])
  const kept = fleet.nodes[1]

  // The file renames it, which overtakes what was added by hand: gone when the file drops it.
  await fleet.reconcile([first, second, { ...third, name: 'third' }])
  expect(names()).toEqual(['node-1', 'third'])
  expect(fleet.nodes[1]).not.toBe(kept)
  await fleet.reconcile([first, second])
  expect(names()).toEqual(['node-1'])

  // A changed entry is a new wish for the node that was taken out.
  await fleet.reconcile([first, { ...second, group: 'batch' }])
  expect(names()).toEqual(['node-1', 'node-2'])
  fleet.removeNode('node-2')
  await fleet.addNode({ ...second, slots: 2 })
  await fleet.reconcile([first])
  expect(names()).toEqual(['node-1', 'node-2'])
})

test('a node of the file that was taken out comes back as the file has it when its URL or name is added', async () => {
  const gateway = await openGateway({ nodes: 2, warm: false })
  const { fleet } = gateway.app
  const [first, second] = fleet.nodes.map(({ options }) => options)
  if (first === undefined || second === undefined) throw new Error('no two nodes')
  const listed = [first, { ...second, group: 'batch', headers: { 'x-key': 'k' } }]
  await fleet.reconcile(listed)
  fleet.removeNode('node-2')
  await fleet.addNode({ url: second.url, headers: {} })
  expect(fleet.nodes.map(({ options }) => options)).toEqual(listed)
  expect(fleet.byHand()).toEqual(new Map())
})

test('a drained node stays drained when the file changes it', async () => {
  const gateway = await openGateway({ nodes: 2, warm: false })
  const { fleet } = gateway.app
  const [first, second] = fleet.nodes.map(({ options }) => options)
  if (first === undefined || second === undefined) throw new Error('no two nodes')
  fleet.setDraining('node-2', true)
  await fleet.reconcile([first, { ...second, slots: 3 }])
  expect(fleet.nodes.map(({ name, draining }) => [name, draining])).toEqual([
    ['node-1', false],
    ['node-2', true],
  ])
})
