/** Framing that two parsers could read in two ways: refused, the connection closed, nothing reaches a node. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Gateway, goodChat, startGateway } from './gateway.ts'
import { exchange, RawClient } from './raw-client.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.close())

const length = goodChat.length
const chunked = `${length.toString(16)}\r\n${goodChat}\r\n0\r\n\r\n`
const post = (lines: readonly string[], body: string): string =>
  `POST /api/chat HTTP/1.1\r\nHost: localhost\r\n${lines.join('\r\n')}\r\n\r\n${body}`

const refused: readonly (readonly [string, string, number])[] = [
  ['B1: Content-Length with Transfer-Encoding', post([`Content-Length: ${length}`, 'Transfer-Encoding: chunked'], chunked), 400],
  ['B1: Transfer-Encoding before Content-Length', post(['Transfer-Encoding: chunked', 'Content-Length: 3'], chunked), 400],
  ['B2: two different Content-Length', post([`Content-Length: ${length}`, 'Content-Length: 0'], goodChat), 400],
  ['B2: two equal Content-Length', post([`Content-Length: ${length}`, `Content-Length: ${length}`], goodChat), 400],
  ['B2: a list as Content-Length', post([`Content-Length: ${length}, ${length}`], goodChat), 400],
  ['B3: Content-Length with a plus', post([`Content-Length: +${length}`], goodChat), 400],
  ['B3: hexadecimal Content-Length', post(['Content-Length: 0x10'], goodChat), 400],
  ['B3: negative Content-Length', post(['Content-Length: -1'], goodChat), 400],
  ['B3: Content-Length of 30 digits', post([`Content-Length: ${'9'.repeat(30)}`], goodChat), 400],
  ['B4: Transfer-Encoding xchunked', post(['Transfer-Encoding: xchunked'], chunked), 501],
  ['B4: Transfer-Encoding chunked, identity', post(['Transfer-Encoding: chunked, identity'], chunked), 400],
  ['B4: two Transfer-Encoding lines', post(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], chunked), 400],
  ['B4: a space before the colon of Transfer-Encoding', post(['Transfer-Encoding : chunked'], chunked), 400],
  ['B4: Transfer-Encoding chunked twice', post(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], chunked), 400],
  ['B4: a vertical tab in Transfer-Encoding', post(['Transfer-Encoding: \x0bchunked'], chunked), 400],
  ['B5: Transfer-Encoding gzip, chunked', post(['Transfer-Encoding: gzip, chunked'], chunked), 501],
  ['B6: Transfer-Encoding in HTTP/1.0', post(['Transfer-Encoding: chunked'], chunked).replace('HTTP/1.1', 'HTTP/1.0'), 400],
  ['B7: bare line feeds', `POST /api/chat HTTP/1.1\nHost: localhost\nContent-Length: ${length}\n\n${goodChat}`, 400],
  ['B7: a bare carriage return in a value', post(['X-A: b\rX-C: d', `Content-Length: ${length}`], goodChat), 400],
  ['B7: a NUL in a value', post(['X-A: b\0c', `Content-Length: ${length}`], goodChat), 400],
  ['B7: a folded header', post(['X-A: b', ' c', `Content-Length: ${length}`], goodChat), 400],
  ['B7: a space in a name', post(['X A: b', `Content-Length: ${length}`], goodChat), 400],
  ['B7: an empty name', post([': b', `Content-Length: ${length}`], goodChat), 400],
  [
    'B7: a leading space in the first header',
    `POST /api/chat HTTP/1.1\r\n Host: localhost\r\nContent-Length: ${length}\r\n\r\n${goodChat}`,
    400,
  ],
  ['B14: chunk size 0x3', post(['Transfer-Encoding: chunked'], '0x3\r\nabc\r\n0\r\n\r\n'), 400],
  ['B14: a chunk size that overflows', post(['Transfer-Encoding: chunked'], 'fffffffffffffffff\r\nabc\r\n0\r\n\r\n'), 400],
  ['B14: chunk lines that end in a line feed only', post(['Transfer-Encoding: chunked'], '3\nabc\n0\n\n'), 400],
  ['B14: no line end after a chunk', post(['Transfer-Encoding: chunked'], '3\r\nabcX0\r\n\r\n'), 400],
  ['B14: a negative chunk size', post(['Transfer-Encoding: chunked'], '-1\r\nabc\r\n0\r\n\r\n'), 400],
  ['B18: GET with a body', 'GET /api/tags HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}', 400],
  ['B18: GET with a chunked body', 'GET /api/tags HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
]

describe('framing', () => {
  test.each(refused)('%s is refused and the connection closed', async (_, bytes, status) => {
    const before = gateway.node.received.length
    const client = await RawClient.open(gateway.port)
    const answer = await client.send(bytes).answer()
    expect(answer.status).toBe(status)
    await client.closed
    expect(client.text).toBe('')
    expect(gateway.node.received.length).toBe(before)
    client.destroy()
    await gateway.assertHealthy()
  })

  test('B14: Content-Length in a trailer changes nothing and never reaches the node', async () => {
    const trailer = `${length.toString(16)}\r\n${goodChat}\r\n0\r\nContent-Length: 3\r\n\r\n`
    const answer = await exchange(gateway.port, post(['Transfer-Encoding: chunked', 'Trailer: Content-Length'], trailer))
    expect([200, 400]).toContain(answer.status)
    if (answer.status === 200) expect(gateway.node.received.at(-1)?.headers['content-length']).toBe(String(length))
    await gateway.assertHealthy()
  })

  test('chunk extensions are dropped, the node gets one plain body', async () => {
    const body = `${length.toString(16)};a=b;c="d"\r\n${goodChat}\r\n0\r\n\r\n`
    const answer = await exchange(gateway.port, post(['Transfer-Encoding: chunked'], body))
    expect(answer.status).toBe(200)
    expect(gateway.node.received.at(-1)?.body.toString()).toBe(goodChat)
    expect(gateway.node.received.at(-1)?.headers['transfer-encoding']).toBeUndefined()
  })

  test('chunk extensions of 100 KB are refused', async () => {
    const client = await RawClient.open(gateway.port)
    client.send(post(['Transfer-Encoding: chunked'], `5;${'a'.repeat(100_000)}\r\nhello\r\n0\r\n\r\n`))
    const answer = await client.answer()
    expect([400, 413]).toContain(answer.status)
    await client.closed
    await gateway.assertHealthy()
  })

  test('a request hidden behind a refused one is never run', async () => {
    const hidden = 'DELETE /api/delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n{"model":"small"}'
    const client = await RawClient.open(gateway.port)
    client.send(post(['Content-Length: 0', 'Transfer-Encoding: chunked'], `0\r\n\r\n${hidden}`))
    expect((await client.answer()).status).toBe(400)
    await client.closed
    expect(gateway.node.received.some(({ method }) => method === 'DELETE')).toBe(false)
    await gateway.assertHealthy()
  })

  test('a request hidden behind a front refusal (501) is never run', async () => {
    const hidden = 'DELETE /api/delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n{"model":"small"}'
    const client = await RawClient.open(gateway.port)
    client.send(post(['Transfer-Encoding: gzip, chunked'], `0\r\n\r\n${hidden}`))
    expect((await client.answer()).status).toBe(501)
    await client.closed
    expect(client.text).toBe('')
    expect(gateway.node.received.some(({ method }) => method === 'DELETE')).toBe(false)
    await gateway.assertHealthy()
  })

  test('B20: 100 pipelined requests are answered in order', async () => {
    const client = await RawClient.open(gateway.port)
    const requests = Array.from(
      { length: 100 },
      (_, index) => `GET ${index % 2 === 0 ? '/api/version' : '/nope'} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    )
    client.send(requests.join(''))
    for (let index = 0; index < 100; index += 1) expect((await client.answer()).status).toBe(index % 2 === 0 ? 200 : 404)
    client.destroy()
    await gateway.assertHealthy()
  })
})
