/**
 * Faults of the simulated node, seen from the wire: what each does to an answer and that it ends when it should.
 */
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createSimNode, type SimNode, type SimNodeOptions } from '../../src/sim/node.ts'
import { WireClient, type Exchange } from './replay/wire-client.ts'

const nodes: SimNode[] = []

async function start(options: SimNodeOptions = {}): Promise<SimNode> {
  const node = await createSimNode({ speed: 50, ...options })
  nodes.push(node)
  return node
}

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()))
})

const streams = { model: 'llama3.2:3b', messages: [{ role: 'user', content: 'Hello' }], options: { num_predict: 6 } }

async function ask(node: SimNode, path = '/api/chat', body: object = streams): Promise<Exchange> {
  const client = new WireClient(node.port)
  const answer = await client.exchange({ method: 'POST', path, headers: {}, bodyText: JSON.stringify(body) })
  client.close()
  return answer
}

describe('a fault', () => {
  it('refuses connections until it is over', async () => {
    const node = await start()
    node.control.set('refuse')
    await expect(fetch(`${node.url}/api/version`)).rejects.toThrow()
    node.control.clear()
    await expect
      .poll(() =>
        fetch(`${node.url}/api/version`).then(
          (response) => response.status,
          () => 0,
        ),
      )
      .toBe(200)
  })

  it('resets before the head', async () => {
    const node = await start()
    node.control.set('rst-before-head', { count: 1 })
    expect(await ask(node)).toMatchObject({ status: 0, end: 'reset' })
    expect(await ask(node)).toMatchObject({ status: 200, end: 'complete' })
  })

  it('resets, truncates or hangs at the frame it names', async () => {
    const node = await start()
    node.control.set('rst-at-frame', { count: 1, atFrame: 2 })
    const reset = await ask(node)
    expect([reset.status, reset.frames.length, reset.end]).toEqual([200, 2, 'reset'])
    node.control.set('truncate', { count: 1, atFrame: 3 })
    const cut = await ask(node)
    expect([cut.status, cut.frames.length, cut.end]).toEqual([200, 3, 'eof'])
    node.control.set('hang-mid-stream', { count: 1, atFrame: 1 })
    const client = new WireClient(node.port)
    const frames = await new Promise<number>((resolve) => {
      void client.exchange({ method: 'POST', path: '/api/chat', headers: {}, bodyText: JSON.stringify(streams) }, resolve)
    })
    expect(frames).toBe(1)
    client.close()
  })

  it('answers 503 and 404 in the dialect of the path', async () => {
    const node = await start()
    node.control.set('instant-503', { path: '/v1/messages' })
    const busy = await ask(node, '/v1/messages')
    expect(busy.status).toBe(503)
    expect(busy.frames[0]).toContain('overloaded_error')
    node.control.set('missing-model', { path: '/api/chat' })
    expect(await ask(node)).toMatchObject({ status: 404 })
  })

  it('puts an error line or half a line into a stream', async () => {
    const node = await start()
    node.control.set('error-line', { count: 1, atFrame: 2 })
    const failed = await ask(node)
    expect(failed.frames).toHaveLength(3)
    expect(JSON.parse(failed.frames[2] ?? '')).toHaveProperty('error')
    node.control.set('malformed-json', { count: 1, atFrame: 2 })
    const broken = await ask(node)
    expect(() => JSON.parse(broken.frames[2] ?? '')).toThrow()
    expect(broken.end).toBe('complete')
  })

  it('ends a stream per dialect when the runner dies', async () => {
    const node = await start()
    const openAi = { model: 'llama3.2:3b', messages: streams.messages, stream: true, max_tokens: 6 }
    node.control.set('runner-death', { count: 1, atFrame: 2 })
    expect((await ask(node)).frames.at(-1)).toContain('unexpected EOF')
    node.control.set('runner-death', { count: 1, atFrame: 2 })
    const cut = await ask(node, '/v1/chat/completions', openAi)
    expect(cut.frames.at(-1)).toContain('"model":""')
    expect(cut.frames.join('')).not.toContain('[DONE]')
    node.control.set('runner-death', { count: 1, atFrame: 2 })
    const silent = await ask(node, '/v1/messages', openAi)
    expect(silent.end).toBe('complete')
    expect(silent.frames.join('')).not.toContain('message_stop')
    expect((await ask(node)).end).toBe('complete')
  })

  it('delays the head and stops at its count', async () => {
    const node = await start()
    await ask(node)
    node.control.set('slow-head', { count: 1, delayMs: 120 })
    const before = performance.now()
    await ask(node)
    expect(performance.now() - before).toBeGreaterThan(110)
    const between = performance.now()
    await ask(node)
    expect(performance.now() - between).toBeLessThan(110)
  })

  it('changes the digests in tags', async () => {
    const node = await start()
    const digests = async (): Promise<string> => JSON.stringify((await (await fetch(`${node.url}/api/tags`)).text()).match(/[0-9a-f]{64}/g))
    const before = await digests()
    node.control.set('digest-drift')
    expect(await digests()).not.toBe(before)
    node.control.clear()
    expect(await digests()).toBe(before)
  })

  it('leaves a half-closed connection without an answer', async () => {
    const node = await start()
    node.control.set('half-closed', { count: 1 })
    expect(await ask(node)).toMatchObject({ status: 0, end: 'eof' })
  })

  it('freezes a runner: its stream is silent and ps blocks once a request waits', async () => {
    const node = await start({ speed: 40, decodeTokensPerSecond: 3 })
    const leaving = new AbortController()
    const stream = await fetch(`${node.url}/api/chat`, {
      method: 'POST',
      body: JSON.stringify({ ...streams, options: { num_predict: 4_000 } }),
      signal: leaving.signal,
    })
    await stream.body?.getReader().read()
    node.control.set('frozen-runner')
    const next = ask(node)
    const before = performance.now()
    await fetch(`${node.url}/api/version`)
    expect(performance.now() - before).toBeLessThan(100)
    await fetch(`${node.url}/api/ps`)
    expect(performance.now() - before).toBeGreaterThan(350)
    leaving.abort()
    expect(await next).toMatchObject({ status: 200, end: 'complete' })
    expect(node.stats().loads).toBe(2)
  })

  it('goes up and down and up again', async () => {
    const node = await start()
    const up = (): Promise<boolean> =>
      fetch(`${node.url}/api/version`).then(
        () => true,
        () => false,
      )
    node.control.set('flap', { delayMs: 60 })
    await expect.poll(up, { interval: 10 }).toBe(false)
    await expect.poll(up, { interval: 10 }).toBe(true)
    await expect.poll(up, { interval: 10 }).toBe(false)
    node.control.clear('flap')
    await expect.poll(up, { interval: 10 }).toBe(true)
  })

  it('sends a frame byte by byte', async () => {
    const node = await start()
    await ask(node)
    node.control.set('slow-loris', { count: 1, atFrame: 2, delayMs: 1 })
    const client = new WireClient(node.port)
    const frames = await new Promise<number>((resolve) => {
      const request = { method: 'POST', path: '/api/chat', headers: {}, bodyText: JSON.stringify(streams) }
      void client.exchange(request, (count) => {
        if (count === 12) resolve(count)
      })
    })
    expect(frames).toBe(12)
    client.close()
  })

  it('hangs before the head until the client leaves', async () => {
    const node = await start()
    node.control.set('hang-before-head', { count: 1 })
    const answer = await fetch(`${node.url}/api/tags`, { signal: AbortSignal.timeout(150) }).catch((error: unknown) => error)
    expect(answer).toBeInstanceOf(DOMException)
    await expect.poll(() => node.stats()).toMatchObject({ aborted: 1, inFlight: 0 })
  })

  it('is set and cleared over the control port', async () => {
    const node = await start({ controlPort: 0 })
    await fetch(`${node.controlUrl}/faults`, { method: 'POST', body: '{"kind":"instant-503"}' })
    expect((await ask(node)).status).toBe(503)
    await fetch(`${node.controlUrl}/faults`, { method: 'DELETE' })
    expect((await ask(node)).status).toBe(200)
    expect(JSON.parse(await (await fetch(`${node.controlUrl}/stats`)).text())).toMatchObject({ requests: 2 })
  })
})

describe('a defect of the real scheduler', () => {
  const two = (length: number, extra: object = {}): object => ({ ...streams, options: { num_ctx: length, num_predict: 30 }, ...extra })

  it('wedges the node for keep_alive when a renewal meets a waiting reload', async () => {
    const node = await start({ speed: 10, decodeTokensPerSecond: 20 })
    const first = ask(node, '/api/chat', two(2048, { keep_alive: '10m' }))
    await expect.poll(() => node.stats().loads).toBe(1)
    const waiting = ask(node, '/api/chat', two(1024))
    const renewal = ask(node, '/api/chat', two(2048, { keep_alive: '10m', options: { num_ctx: 2048, num_predict: 1 } }))
    await Promise.all([first, renewal])
    const cold = ask(node, '/api/embed', { model: 'all-minilm', input: 'x' })
    const answered = await Promise.race([waiting, cold, new Promise((resolve) => setTimeout(resolve, 400, 'still waiting'))])
    expect(answered).toBe('still waiting')
    await ask(node, '/api/generate', { model: 'llama3.2:3b', keep_alive: 0 })
    expect(await waiting).toMatchObject({ status: 200, end: 'complete' })
    expect(await cold).toMatchObject({ status: 200 })
  })

  it('keeps the place and the socket of a client that leaves while it waits for a load', async () => {
    const node = await start({ speed: 1, maxQueue: 1 })
    const loader = ask(node, '/api/generate', { model: 'llama3.2:3b' })
    await expect.poll(() => node.stats().inFlight).toBe(1)
    const socket = connect(node.port, '127.0.0.1')
    const body = JSON.stringify(streams)
    socket.end(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    await expect.poll(() => node.stats().leakedSockets).toBe(1)
    expect(await ask(node)).toMatchObject({ status: 503 })
    expect(await loader).toMatchObject({ status: 200 })
    expect(await ask(node)).toMatchObject({ status: 200 })
    expect(node.stats().openSockets).toBeGreaterThan(0)
  })

  it('starts a load again when its loader leaves', async () => {
    const node = await start({ speed: 5 })
    const leaving = new AbortController()
    const loader = fetch(`${node.url}/api/generate`, { method: 'POST', body: '{"model":"llama3.2:3b"}', signal: leaving.signal }).catch(
      () => {},
    )
    await expect.poll(() => node.stats().inFlight).toBe(1)
    const waiter = ask(node)
    await expect.poll(() => node.stats().inFlight).toBe(2)
    leaving.abort()
    await loader
    expect(await waiter).toMatchObject({ status: 200, end: 'complete' })
    expect(node.stats().loads).toBe(1)
  })
})
