// A tool call of the model that its node cannot read: the client is told, no node is blamed, and no other one is asked to do it again.

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { chatLine, type FakeNode, type Script, sendJson, startFakeNode } from '../http/fake-node.ts'
import { startApp, until } from '../support/gateway.ts'
import { ask } from './ask.ts'

const body = { model: 'small', messages: [{ role: 'user', content: 'hi' }], tools: [] }
const said = `error parsing tool call: raw='{"city":"Cork', err=unexpected end of JSON input`

/** Three nodes that answer every chat by `script`. */
async function openThree(script: Script): Promise<{ url: string; nodes: readonly FakeNode[]; breakers: () => readonly string[] }> {
  const nodes = await Promise.all(['a', 'b', 'c'].map(() => startFakeNode()))
  for (const node of nodes) node.script = script
  onTestFinished(async () => void (await Promise.all(nodes.map((node) => node.close()))))
  const { app, url } = await startApp(nodes.map((node, index) => ({ url: node.url, name: `n${index}` })))
  await until(() => app.fleet.nodes.every(({ models, loaded }) => models.size > 0 && loaded.size > 0), 'the nodes are known')
  return { url, nodes, breakers: () => app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs())) }
}

test('in the middle of a stream it opens no breaker, and what the model wrote stands in no view of the fleet', async () => {
  const { url, breakers } = await openThree((_, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
    outgoing.end(`${chatLine('hello')}${JSON.stringify({ error: said })}\n`)
  })
  for (let time = 0; time < 9; time += 1) {
    const { text } = await ask(`${url}/api/chat`, body)
    expect(text).toMatch(/hello[^\n]*\n\{"error":"n\d: error parsing tool call: raw='…', err=unexpected end of JSON input"\}\n$/)
  }
  expect(breakers()).toEqual(['closed', 'closed', 'closed'])
  expect((await ask(`${url}/admin/fleet`, undefined, { method: 'GET' })).text).not.toContain('tool call')
})

test.each([said, 'XML syntax error on line 3: unexpected EOF'])(
  'as a 500 it is the answer, to the byte, of one node: %s',
  async (message) => {
    const { url, nodes, breakers } = await openThree((_, outgoing) => sendJson(outgoing, 500, { error: message }))
    for (let time = 0; time < 6; time += 1) {
      const reply = await ask(`${url}/api/chat`, body)
      expect([reply.status, reply.text]).toEqual([500, JSON.stringify({ error: message })])
    }
    expect(nodes.flatMap(({ received }) => received)).toHaveLength(6)
    expect(breakers()).toEqual(['closed', 'closed', 'closed'])
    expect((await ask(`${url}/admin/fleet`, undefined, { method: 'GET' })).text).not.toContain('Cork')
  },
)
