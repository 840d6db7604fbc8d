// Replicas behind real proxies, on the blocks that docs/deploy.md gives: a stream is not held up, one replica that is killed costs no request
// that could be put again, and a rolling restart costs none at all.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'

import { describe, expect, onTestFinished, test } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { systemClock } from '../../src/base/clock.ts'
import { createHerd } from '../../src/sim/herd.ts'
import { start } from '../cli/corral.ts'
import { openBlackHole } from '../support/black-hole.ts'
import { hasProxy, type ProxyName, startProxy } from '../support/front-proxies.ts'
import { hasPostgres } from '../support/postgres.ts'
import { startDyingReplicas } from './dying-replicas.ts'
import { startPacedNode } from './paced-node.ts'
import { startReplicas, startUsers } from './replicas.ts'

const testMsMax = 120_000

async function behind(name: ProxyName, ports: readonly number[]): Promise<string> {
  const front = await startProxy(name, ports)
  onTestFinished(() => front.stop())
  return front.url
}

const paths = [
  { path: '/api/chat', end: '"done":true' },
  { path: '/v1/chat/completions', end: 'data: [DONE]' },
]

describe.each(['nginx', 'haproxy', 'caddy'] as const)('behind %s', (proxy) => {
  test.runIf(hasProxy(proxy))('the first frame of a stream is there before the last is sent', { timeout: testMsMax }, async () => {
    const node = await startPacedNode()
    const port = await freePort()
    const gateway = start(['serve', '--port', String(port), '--node', node.url])
    await gateway.until(/node .* (up|ready|models)|listening/i)
    const url = await behind(proxy, [port, port, port])
    for (const { path, end } of paths) {
      const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Why?' }] })
      const answer = await fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      expect(answer.status).toBe(200)
      const reader = answer.body?.getReader()
      // It comes while the node holds the rest back: a proxy that buffers would never let this end.
      let text = new TextDecoder().decode((await reader?.read())?.value)
      expect(text).toContain('first')
      expect(text).not.toContain(end)
      node.release()
      for (let part = await reader?.read(); part !== undefined && !part.done; part = await reader?.read())
        text += new TextDecoder().decode(part.value)
      expect(text).toContain(end)
    }
  })

  test.runIf(hasProxy(proxy))(
    'a model file is on its way to the node before the client has sent all of it',
    { timeout: testMsMax },
    async () => {
      const node = await startPacedNode()
      const port = await freePort()
      const gateway = start(['serve', '--port', String(port), '--node', node.url])
      await gateway.until(/node .* (up|ready|models)|listening/i)
      const url = await behind(proxy, [port, port, port])
      const parts = [Buffer.alloc(100_000, 1), Buffer.alloc(50_000, 2)]
      const digest = createHash('sha256').update(Buffer.concat(parts)).digest('hex')
      const upload = request(`${url}/api/blobs/sha256:${digest}`, { method: 'POST' })
      const answered = once(upload, 'response') as Promise<[IncomingMessage]>
      upload.write(parts[0])
      // The second part is sent when the first has come: a proxy that keeps bodies until they are whole would never let this end.
      await expect.poll(() => node.uploadedBytes, { timeout: 10_000 }).toBe(100_000)
      upload.end(parts[1])
      const [answer] = await answered
      answer.resume()
      expect([answer.statusCode, node.uploadedBytes]).toEqual([201, 150_000])
    },
  )
})

describe.each(['nginx', 'haproxy', 'caddy'] as const)('behind %s', (proxy) => {
  test.runIf(hasProxy(proxy))('what a replica that died may have done is not done again by another', { timeout: testMsMax }, async () => {
    const dying = await startDyingReplicas(3)
    const url = await behind(proxy, dying.ports)
    const post = async (path: string): Promise<number> => {
      const before = dying.received()
      const sent = fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })
      // HAProxy closes a client's connection that served before, so that the client decides.
      const status = await sent.then((answer) => answer.status, String)
      expect(status === 502 || status === 'TypeError: fetch failed').toBe(true)
      return dying.received() - before
    }
    for (const path of ['/admin/keys', '/rag/collections', '/rag/collections/c/documents', '/rag/chat']) expect(await post(path)).toBe(1)
    if (proxy !== 'caddy')
      for (const path of ['/api/chat', '/k/key/v1/messages', '/rag/search']) expect(await post(path)).toBeGreaterThan(1)
  })
})

test.runIf(hasProxy('nginx'))('a replica whose machine is gone costs nobody behind nginx a second', { timeout: testMsMax }, async () => {
  const node = await startPacedNode()
  node.release()
  const port = await freePort()
  const gateway = start(['serve', '--port', String(port), '--node', node.url])
  await gateway.until(/node .* (up|ready|models)|listening/i)
  const url = await behind('nginx', [port, port, await openBlackHole()])
  for (let round = 0; round < 6; round += 1) {
    const beganMs = systemClock.nowMs()
    const answer = await fetch(`${url}/api/version`)
    expect(answer.status).toBe(200)
    await answer.arrayBuffer()
    expect(systemClock.nowMs() - beganMs).toBeLessThan(1_000)
  }
})

const users = 12

describe.runIf(hasProxy('nginx') && hasPostgres())('three replicas on one Postgres and Redis behind nginx', () => {
  test(
    'one is killed under load, another is restarted, then all in turn: nothing fails that could be put again',
    { timeout: testMsMax },
    async () => {
      const herd = await createHerd({ nodes: 3, speed: 10 })
      onTestFinished(() => herd.close())
      const replicas = await startReplicas(3, herd.urls)
      const url = await behind(
        'nginx',
        replicas.map(({ port }) => port),
      )
      const load = startUsers(url, users)
      onTestFinished(() => load.stop())
      await load.served(100)

      const [victim] = replicas
      victim?.running().child.kill('SIGKILL')
      await victim?.running().ended
      await load.served(200)
      expect(load.tally.failed).toEqual([])
      // What had begun to be answered by the one that died, and no more than it can have had.
      expect(load.tally.cut).toBeLessThanOrEqual(users)
      await victim?.start()

      const { cut } = load.tally
      for (const replica of replicas) {
        const { running } = replica
        const ending = running()
        ending.child.kill('SIGTERM')
        expect((await ending.ended).code).toBe(0)
        await replica.start()
        await load.served(50)
      }
      await load.stop()
      expect(load.tally).toMatchObject({ failed: [], cut })
    },
  )
})
