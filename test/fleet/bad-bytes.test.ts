// Nodes that answer what is not their protocol: tried elsewhere before the first frame, told after it, never forwarded raw.

import { request as httpRequest, type ServerResponse } from 'node:http'

import { describe, expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { answerChat, chatEnd, chatLine, type FakeNode, type Script, startFakeNode } from '../http/fake-node.ts'
import { ask, type Reply } from './ask.ts'
import { startApp, until } from '../support/gateway.ts'

const chat = '/api/chat'
const body = { model: 'small', messages: [{ role: 'user', content: 'hi' }] }
const ndjson = { 'content-type': 'application/x-ndjson' }

interface Pair {
  readonly bad: FakeNode
  readonly good: FakeNode
  readonly url: string
  ask(): Promise<Reply>
  /** Attempts and slots that are still taken. */
  taken(): number
  breakers(): string[]
}

/** Two nodes, of which the bad one answers by `script`. */
async function openPair(script: Script, fleet: Record<string, unknown> = {}): Promise<Pair> {
  const [bad, good] = [await startFakeNode(), await startFakeNode()]
  bad.script = script
  const nodes = [
    { url: bad.url, name: 'bad' },
    { url: good.url, name: 'good' },
  ]
  onTestFinished(async () => {
    await Promise.all([bad.close(), good.close()])
  })
  const { app, url } = await startApp(nodes, { fleet: { breaker: { enabled: false }, ...fleet } })
  await until(() => app.fleet.nodes.every(({ models, loaded }) => models.size > 0 && loaded.size > 0), 'the nodes are known')
  return {
    bad,
    good,
    url,
    ask: () => ask(`${url}${chat}`, body),
    breakers: () => app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs())),
    taken: () => app.fleet.activeAttempts + app.fleet.nodes.reduce((sum, node) => sum + app.fleet.pools.use(node).inFlight, 0),
  }
}

function whole({ status, text }: Reply): boolean {
  return status === 200 && text.includes('hello') && text.endsWith(chatEnd) && !text.includes('"error"')
}

describe('before the first frame', () => {
  const scripts: readonly [string, Script][] = [
    ['a redirect', (_, outgoing) => void outgoing.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    [
      'a compressed body',
      (_, outgoing) => void outgoing.writeHead(200, { ...ndjson, 'content-encoding': 'gzip' }).end(Buffer.from([0x1f, 0x8b, 8, 0])),
    ],
    [
      '64 KiB of headers',
      (_, outgoing) => void outgoing.writeHead(200, { ...ndjson, 'x-long': 'x'.repeat(65_536) }).end(chatLine('hello') + chatEnd),
    ],
    ['a bad status line', (_, outgoing) => raw(outgoing, 'HTTP/1.1 banana\r\n\r\n')],
    ['no HTTP at all', (_, outgoing) => raw(outgoing, 'SSH-2.0-OpenSSH_9.6\r\n')],
    ['a head and no body', (_, outgoing) => void outgoing.writeHead(200, ndjson).end()],
    ['half a line', (_, outgoing) => void outgoing.writeHead(200, ndjson).end(chatLine('hello').slice(0, 40))],
    ['a line that is no JSON', (_, outgoing) => void outgoing.writeHead(200, ndjson).end('<html>\n')],
    [
      'an error as the first line',
      (_, outgoing) =>
        void outgoing.writeHead(200, ndjson).end('{"error":"an error was encountered while running the model: unexpected EOF"}\n'),
    ],
    ['a web page', (_, outgoing) => void outgoing.writeHead(502, { 'content-type': 'text/html' }).end('<html>bad gateway</html>')],
  ]

  test.each(scripts)('%s is answered by the other node', async (_, script) => {
    const pair = await openPair(script)
    const replies = [await pair.ask(), await pair.ask(), await pair.ask()]
    expect(replies.filter((reply) => !whole(reply)).map(({ text }) => text)).toEqual([])
    expect(pair.bad.received.length).toBeGreaterThan(0)
    expect(pair.taken()).toBe(0)
  })

  // F28.
  test.each([300, 301, 302, 303, 307, 308])('a %d of every node is a 502, and nobody goes where it leads', async (status) => {
    const elsewhere = await startFakeNode()
    onTestFinished(() => elsewhere.close())
    const away: Script = (_, outgoing) => void outgoing.writeHead(status, { location: `${elsewhere.url}${chat}` }).end()
    const pair = await openPair(away)
    pair.good.script = away
    const reply = await pair.ask()
    expect([reply.status, reply.text]).toEqual([502, expect.stringContaining('"error"')])
    expect(reply.headers.location).toBeUndefined()
    expect(elsewhere.received).toEqual([])
    await until(() => pair.taken() === 0, 'all is given back')
  })

  test('a frame without an end is given up at the limit', async () => {
    const endless: Script = (_, outgoing) => {
      outgoing.writeHead(200, ndjson)
      const more = (): void => {
        while (!outgoing.destroyed && outgoing.write('x'.repeat(65_536)));
      }
      outgoing.on('drain', more)
      more()
    }
    const pair = await openPair(endless, { frameBytesMax: 1_048_576 })
    expect(whole(await pair.ask())).toBe(true)
    expect(whole(await pair.ask())).toBe(true)
    await until(() => pair.taken() === 0, 'all is given back')
  })
})

/** After `first`, a byte of a line that never ends each 20 ms. */
function drip(first: string): Script {
  return (_, outgoing) => {
    outgoing.writeHead(200, ndjson)
    outgoing.write(`${first} `)
    const timer = setInterval(() => outgoing.write('x'), 20)
    outgoing.on('close', () => clearInterval(timer))
  }
}

describe('a line that comes byte by byte and never ends', () => {
  test('before the first frame is given up: the other node answers', async () => {
    const pair = await openPair(drip('{"message":'), { deadlines: { firstFrameMsMin: 100, firstFrameMsMax: 300 } })
    const replies = [await pair.ask(), await pair.ask()]
    expect(replies.every(whole)).toBe(true)
    expect(pair.bad.received.length).toBeGreaterThan(0)
    await until(() => pair.taken() === 0, 'all is given back')
  })

  test('after it ends the stream with an error', async () => {
    const pair = await openPair(drip(chatLine('hello')), { deadlines: { idleMsMin: 200, idleMsMax: 400 } })
    const replies = [await pair.ask(), await pair.ask()]
    expect(replies.find(({ node }) => node === 'bad')?.text).toMatch(/\n\{"error":"bad sent no whole frame for [^\n]*\}\n$/)
    await until(() => pair.taken() === 0, 'all is given back')
  })
})

test('a body that comes whole, but byte by byte, is given up at its deadline', async () => {
  const slow: Script = (_, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/json' })
    const timer = setInterval(() => outgoing.write(' '), 20)
    outgoing.on('close', () => clearInterval(timer))
  }
  const pair = await openPair(slow, { deadlines: { wholeBodyMsMax: 300 } })
  const replies = [await pair.ask(), await pair.ask()]
  expect(replies.every(whole)).toBe(true)
  expect(pair.bad.received.length).toBeGreaterThan(0)
})

test('a stream without end is ended at its deadline, with an error, and counts against no node', async () => {
  const endless: Script = (_, outgoing) => {
    outgoing.writeHead(200, ndjson)
    const timer = setInterval(() => outgoing.write(chatLine('again')), 20)
    outgoing.on('close', () => clearInterval(timer))
  }
  const pair = await openPair(endless, { deadlines: { streamMsMax: 300 }, breaker: { consecutiveBrokenStreams: 1 } })
  const replies = [await pair.ask(), await pair.ask()]
  expect(replies.find(({ node }) => node === 'bad')?.text).toMatch(/again[^\n]*\n\{"error":"bad streamed for [^\n]*\}\n$/)
  await until(() => pair.taken() === 0, 'all is given back')
  expect(pair.breakers()).toEqual(['closed', 'closed'])
})

/** Sends bytes of our own making and closes. */
function raw(outgoing: ServerResponse, text: string): void {
  outgoing.socket?.end(text)
}

describe('after the first frame', () => {
  /** The first of two answers that came from the bad node. */
  async function fromBad(script: Script): Promise<{ reply: Reply; pair: Pair }> {
    const pair = await openPair(script)
    const replies = [await pair.ask(), await pair.ask()]
    const reply = replies.find(({ node }) => node === 'bad')
    if (reply === undefined) throw new Error('the bad node was never asked')
    await until(() => pair.taken() === 0, 'all is given back')
    return { reply, pair }
  }

  test.each<[string, string]>([
    ['a line that is no JSON', '<html>\n'],
    ['a line of another kind', '[1,2]\n'],
    ['half a line', '{"message":{"content":"cu'],
    ['nothing more', ''],
    ['an error line', '{"error":"an error was encountered while running the model: unexpected EOF"}\n'],
  ])('%s ends the stream with an error and is not forwarded', async (_, rest) => {
    const { reply } = await fromBad((__, outgoing) => void outgoing.writeHead(200, ndjson).end(chatLine('hello') + rest))
    const lines = reply.text.trimEnd().split('\n')
    expect(lines).toHaveLength(2)
    expect(lines[0]).toContain('hello')
    expect(JSON.parse(lines[1] ?? '')).toHaveProperty('error', expect.stringContaining('bad'))
  })

  test('bytes after the last frame are left aside, and the connection with them', async () => {
    const { reply, pair } = await fromBad((_, outgoing) => {
      outgoing.writeHead(200, ndjson)
      outgoing.write(chatLine('hello') + chatEnd)
      setTimeout(() => outgoing.end('{"secret":"of another answer"}\n'), 20)
    })
    expect(reply.text).toBe(chatLine('hello') + chatEnd)
    expect((await pair.ask()).text).not.toContain('secret')
  })

  test('a body that never ends after its last frame is ended for the client within two seconds', async () => {
    const { reply } = await fromBad((_, outgoing) => {
      outgoing.writeHead(200, ndjson)
      outgoing.write(chatLine('hello') + chatEnd)
    })
    expect(whole(reply)).toBe(true)
    expect(reply.totalMs).toBeLessThan(2_000)
  })

  test('F24: bytes beyond the Content-Length never reach a client, nor the next answer', async () => {
    const declared = chatLine('hello') + chatEnd
    const { reply, pair } = await fromBad((_, outgoing) => {
      const head = `HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: ${declared.length}\r\n\r\n`
      outgoing.socket?.write(`${head}${declared}{"secret":"of another answer"}\n`)
    })
    expect(reply.text).toBe(declared)
    const next = [await pair.ask(), await pair.ask(), await pair.ask()]
    expect(next.filter(({ text }) => text !== declared)).toEqual([])
  })

  test('F26: 100 trailers are left aside', async () => {
    const { reply } = await fromBad((_, outgoing) => {
      outgoing.writeHead(200, { ...ndjson, trailer: Array.from({ length: 100 }, (__, index) => `x-t${index}`).join() })
      outgoing.addTrailers(Object.fromEntries(Array.from({ length: 100 }, (__, index) => [`x-t${index}`, 'x'.repeat(50)])))
      outgoing.end(chatLine('hello') + chatEnd)
    })
    expect(reply.text).toBe(chatLine('hello') + chatEnd)
    expect(Object.keys(reply.headers).filter((name) => name.startsWith('x-t'))).toEqual([])
  })

  test('a body shorter than its Content-Length is told as truncated', async () => {
    const { reply } = await fromBad((_, outgoing) => {
      outgoing.writeHead(200, { ...ndjson, 'content-length': '10000' })
      outgoing.write(chatLine('hello'))
      setTimeout(() => outgoing.destroy(), 20)
    })
    expect(reply.text).toMatch(/\n\{"error":"bad [^\n]*\}\n$/)
  })
})

describe('a client that does not read', () => {
  test('is dropped when its buffer is full: the node is drained until then and its slot freed', async () => {
    const frame = chatLine('x'.repeat(16_384))
    const flood: Script = (_, outgoing) => {
      outgoing.writeHead(200, ndjson)
      const more = (): void => {
        while (!outgoing.destroyed && outgoing.write(frame));
      }
      outgoing.on('drain', more)
      more()
    }
    const pair = await openPair(flood, { bufferBytesMax: 1_048_576 })
    pair.good.script = flood
    const client = httpRequest(`${pair.url}${chat}`, { method: 'POST', agent: false }, (response) => response.pause())
    client.on('error', () => undefined)
    client.end(JSON.stringify(body))
    await until(() => pair.bad.received.length + pair.good.received.length === 1, 'a node has it')
    await until(() => pair.taken() === 0, 'the slot is free')
    const [received] = [...pair.bad.received, ...pair.good.received]
    await received?.cut
    client.destroy()
  })
})

describe('a connection that the node closes as we send', () => {
  /** Breaks `races.left` requests on connections used before, without a byte: keep-alive races. */
  function racing(races: { left: number }): Script {
    const seen = new WeakSet()
    return (incoming, outgoing, bytes) => {
      if (seen.has(incoming.socket) && races.left > 0) {
        races.left -= 1
        incoming.socket.destroy()
        return
      }
      seen.add(incoming.socket)
      answerChat(incoming, outgoing, bytes)
    }
  }

  test('is no failure: the request is sent again, to the same node where there is no other', async () => {
    const races = { left: 0 }
    const pair = await openPair(racing(races), { retry: { retriesMax: 0, budgetFloor: 0, budgetRatio: 0 } })
    pair.good.script = racing(races)
    let lost = 0
    for (let time = 0; time < 12; time += 1) {
      races.left = 3
      expect(whole(await pair.ask())).toBe(true)
      lost += 3 - races.left
    }
    expect(lost).toBeGreaterThan(5)
    expect(pair.taken()).toBe(0)
  })
})
