/** JSON bodies: what closes a hole is refused here; all else reaches a node as it came, and the node's words come back. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { type Gateway, startGateway } from './gateway.ts'
import { sendJson } from './fake-node.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway()
})
afterAll(() => gateway.close())

const routes = [
  ['/api/chat', 'ollama'],
  ['/v1/chat/completions', 'openai'],
  ['/v1/messages', 'anthropic'],
] as const

type Dialect = (typeof routes)[number][1]

/** The message of an error in the dialect; throws when the shape is another. */
function messageOf(dialect: Dialect, body: string): string {
  const value = JSON.parse(body)
  if (dialect === 'ollama') return typeof value.error === 'string' ? value.error : fail(body)
  if (dialect === 'anthropic' && (value.type !== 'error' || typeof value.request_id !== 'string')) fail(body)
  if (dialect === 'openai' && value.error.param !== null) fail(body)
  return typeof value.error.message === 'string' && typeof value.error.type === 'string' ? value.error.message : fail(body)
}

function fail(body: string): never {
  throw new Error(`not in the dialect: ${body}`)
}

const deep = (levels: number): string => `{"model":"small","messages":${'['.repeat(levels)}${']'.repeat(levels)}}`
const manyKeys = (count: number): string => `{"model":"small",${Array.from({ length: count }, (_, index) => `"${index}":0`).join(',')}}`

describe.each(routes)('%s', (path, dialect) => {
  const refused: readonly (readonly [string, string | Buffer])[] = [
    ['B37: the same key twice', '{"model":"small","model":"big"}'],
    ['B37: a key in two spellings', '{"model":"small","MODEL":"big"}'],
    ['B37: a key with a long s', '{"messages":[],"me\u017f\u017fages":[]}'],
    ['B37: a key with a Kelvin sign', '{"model":"small","keep_alive":1,"\u212aeep_alive":0}'],
    ['B37: a key written with escapes', '{"model":"small","\\u006dodel":"big"}'],
    ['B37: a key with an escaped long s', '{"messages":[],"me\\u017fsages":[]}'],
    ['B37: name twice', '{"name":"small","Name":"big"}'],
    ['B37: an option twice', '{"model":"small","options":{"num_ctx":1,"num_ctx":999999}}'],
    ['B36: 10,001 levels', deep(10_001)],
    ['B36: a million levels', deep(1_000_000)],
    ['B36: five million levels', deep(5_000_000)],
    ['B36: a million levels that never close', `{"model":"small","messages":${'['.repeat(1_000_000)}`],
    ['B40: 10,001 keys', manyKeys(10_001)],
    ['B40: 200,000 integer-like keys', manyKeys(200_000)],
  ]
  test.each(refused)('%s is refused before any node', async (_, body) => {
    const before = gateway.node.received.length
    const startMs = performance.now()
    const answer = await gateway.ask('POST', path, { body })
    expect(answer.status).toBe(400)
    expect(messageOf(dialect, answer.body)).not.toBe('')
    expect(performance.now() - startMs).toBeLessThan(2_000)
    expect(gateway.node.received.length).toBe(before)
    await gateway.assertHealthy()
  })

  const relayed: readonly (readonly [string, string | Buffer])[] = [
    ['B34: an empty body', ''],
    ['B34: null', 'null'],
    ['B34: an array', '[]'],
    ['B34: a string', '"x"'],
    ['B34: two values', '{"model":"small"} {}'],
    ['B34: a byte order mark', Buffer.from('\ufeff{"model":"small"}')],
    ['B34: a comment', '{"model":"small" /* x */}'],
    ['B34: a trailing comma', '{"model":"small",}'],
    ['B34: cut short', '{"model":"small","messages":[{"role":"user"'],
    ['B34: white space only', ' \n\t '],
    ['B34: single quotes', "{'model':'small'}"],
    ['B34: NaN', '{"model":"small","options":{"temperature":NaN}}'],
    ['B34: Infinity', '{"model":"small","options":{"temperature":-Infinity}}'],
    ['B34: form data', 'model=small&prompt=hi'],
    ['B35: bytes that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
    ['B35: an overlong NUL in a model name', Buffer.concat([Buffer.from('{"model":"sm'), Buffer.from([0xc0, 0x80]), Buffer.from('all"}')])],
    ['B35: a lone surrogate', '{"model":"small","prompt":"\\ud800"}'],
    ['B35: an escaped NUL', '{"model":"small","prompt":"a\\u0000b"}'],
    ['B35: a raw NUL', '{"model":"small","prompt":"a\0b"}'],
    ['B35: a UTF-16 body', Buffer.from('{"model":"small"}', 'utf16le')],
    ['B37: 1e400', '{"model":"small","options":{"num_ctx":1e400,"num_predict":1e400}}'],
    ['B37: an integer of 400 digits', `{"model":"small","options":{"num_ctx":${'9'.repeat(400)}}}`],
    ['B37: minus zero', '{"model":"small","options":{"num_ctx":-0}}'],
    ['B37: a number that is none', '{"model":"small","options":{"num_ctx":1-+e.5}}'],
    ['B38: __proto__', '{"model":"small","__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}'],
    ['B38: __proto__ in options', '{"model":"small","options":{"__proto__":{"num_ctx":1},"num_ctx":{"__proto__":1}}}'],
    ['B36: 9,998 levels', deep(9_998)],
    ['B42: a model name of 10 KB', `{"model":"${'a'.repeat(10_240)}"}`],
    ['B42: a model name with dot segments', '{"model":"../../etc/passwd"}'],
    ['B42: a model name with a line feed', '{"model":"a\\nb\\r\\nX-Evil: 1"}'],
    ['B42: a model name with a host', '{"model":"evil.example:8443/x/y"}'],
    ['B42: a model that is a number', '{"model":1}'],
    ['B42: a model that is null', '{"model":null}'],
    ['B42: a model in Cyrillic letters', '{"model":"smаll"}'],
    ['B45: wild numbers', '{"model":"small","max_tokens":-1,"n":1e9,"options":{"num_predict":-1e9,"num_gpu":-5}}'],
    ['B45: a max_tokens that is a string', '{"model":"small","max_tokens":"5"}'],
    ['B45: a max_tokens of 0', '{"model":"small","max_tokens":0}'],
    ['B45: a max_tokens of 1e9', '{"model":"small","max_tokens":1e9,"options":{"num_predict":1000000000}}'],
    ['B45: best_of', '{"model":"small","n":100,"best_of":100}'],
    ['B39: unknown fields', '{"model":"small","x_future":{"a":[1,2]},"metadata":{"user_id":"u"}}'],
    ['B44: a prompt far over any context', `{"model":"small","prompt":"${'word '.repeat(400_000)}"}`],
    [
      'B46: wild sampling options',
      `{"model":"small","options":{"temperature":-1,"top_p":1e9,"stop":[${'"x",'.repeat(999)}"x"]},"logit_bias":{${Array.from({ length: 9_000 }, (_, id) => `"${id}":1`).join(',')}},"top_logprobs":1000}`,
    ],
    ['B47: wild runner options', '{"model":"small","options":{"num_ctx":1000000000,"num_gpu":-1,"num_thread":9999}}'],
    ['B49: a format schema of a megabyte', `{"model":"small","format":{"type":"object","pattern":"${'(a+)+'.repeat(200_000)}"}}`],
    [
      'B49: a format schema 500 levels deep with a recursive $ref',
      `{"model":"small","format":${'{"items":'.repeat(500)}{"$ref":"#"}${'}'.repeat(500)}}`,
    ],
    ['B50: images that are none', '{"model":"small","images":["not base64!","http://127.0.0.1/x.png","PHN2Zy8+"]}'],
    ['B50: a thousand images', `{"model":"small","images":[${'"aGk=",'.repeat(999)}"aGk="]}`],
    ['B48: wild keep_alive', '{"model":"small","keep_alive":"9999999999999999999h"}'],
    ['B48: a keep_alive that is no duration', '{"model":"small","keep_alive":{"a":1}}'],
    ['B52: stream as a string', '{"model":"small","stream":"true"}'],
    ['B43: no messages', '{"model":"small","messages":[]}'],
    ['B43: a content that is a number', '{"model":"small","messages":[{"role":"user","content":5}]}'],
    ['B43: messages that are no array', '{"model":"small","messages":{"0":1}}'],
    ['B43: ten thousand messages', `{"model":"small","messages":[${'{"role":"admin"},'.repeat(9_999)}{}]}`],
    ['options that are no object', '{"model":"small","options":[1]}'],
    ['a string of a million backslashes', `{"model":"small","prompt":"${'\\\\'.repeat(500_000)}"}`],
    ['a million escaped quotes', `{"model":"small","prompt":"${'\\"'.repeat(500_000)}"}`],
  ]
  test.each(relayed)('%s reaches a node unchanged, and its error comes back unchanged', async (_, body) => {
    const words =
      dialect === 'ollama'
        ? { error: 'the words of the node' }
        : { error: { message: 'the words of the node', type: 'x', param: null, code: null } }
    gateway.node.script = (_incoming, outgoing) => sendJson(outgoing, 400, words)
    const startMs = performance.now()
    const answer = await gateway.ask('POST', path, { body })
    const elapsedMs = performance.now() - startMs
    gateway.node.script = answerAsBefore
    // A model nobody has may be refused here, in the node's own shape.
    if (answer.status === 404) expect(messageOf(dialect, answer.body)).not.toBe('')
    else {
      expect([answer.status, answer.body]).toEqual([400, JSON.stringify(words)])
      expect(gateway.node.received.at(-1)?.body.equals(Buffer.from(body))).toBe(true)
    }
    expect(elapsedMs).toBeLessThan(1_000)
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
    await gateway.assertHealthy()
  })

  test('B50: an image of 50 MB reaches a node unchanged, and its error comes back unchanged', async () => {
    const body = Buffer.from(`{"model":"small","messages":[{"role":"user","content":"?","images":["${'iVBORw0K'.repeat(6_553_600)}"]}]}`)
    const words =
      dialect === 'ollama' ? { error: 'no such image' } : { error: { message: 'no such image', type: 'x', param: null, code: null } }
    gateway.node.script = (_incoming, outgoing) => sendJson(outgoing, 400, words)
    const answer = await gateway.ask('POST', path, { body })
    gateway.node.script = answerAsBefore
    expect([answer.status, answer.body]).toEqual([400, JSON.stringify(words)])
    expect(gateway.node.received.at(-1)?.body.equals(body)).toBe(true)
    await gateway.assertHealthy()
  })

  test.each(['glm-5:cloud', 'big:120b-cloud', 'BIG:CLOUD', 'registry.ollama.ai/library/x:cloud', ' x:cloud ', 'x\\u003acloud'])(
    'B42: the cloud model %s is refused with 403',
    async (model) => {
      const before = gateway.node.received.length
      const answer = await gateway.ask('POST', path, { body: `{"model":"${model}"}` })
      expect(answer.status).toBe(403)
      expect(messageOf(dialect, answer.body)).toContain('loud')
      expect(gateway.node.received.length).toBe(before)
      await gateway.assertHealthy()
    },
  )

  test.each(['text/plain', 'application/json; charset=utf-16', 'multipart/form-data', ''])(
    'B32: Content-Type "%s" is no matter, as in Ollama',
    async (type) => {
      const headers = type === '' ? [] : [`Content-Type: ${type}`]
      const answer = await gateway.ask('POST', path, { headers, body: '{"model":"small","stream":false}' })
      expect(answer.status).not.toBe(415)
      await gateway.assertHealthy()
    },
  )
})

let answerAsBefore: Gateway['node']['script']
beforeAll(() => {
  answerAsBefore = gateway.node.script
})

describe('other routes', () => {
  test.each(['/api/pull', '/api/copy', '/api/create', '/api/show', '/api/embed', '/api/embeddings', '/v1/embeddings', '/api/generate'])(
    'B37: a key in two spellings on %s is refused',
    async (path) => {
      const before = gateway.node.received.length
      const answer = await gateway.ask('POST', path, { body: '{"model":"small","Model":"big"}' })
      expect(answer.status).toBe(400)
      expect(gateway.node.received.length).toBe(before)
      await gateway.assertHealthy()
    },
  )

  test('B37: a key in two spellings on DELETE /api/delete is refused', async () => {
    const before = gateway.node.received.length
    const answer = await gateway.ask('DELETE', '/api/delete', { body: '{"model":"small","name":"a","NAME":"b"}' })
    expect(answer.status).toBe(400)
    expect(gateway.node.received.length).toBe(before)
  })

  const embedRoutes = ['/api/embed', '/v1/embeddings'] as const
  const inputs: readonly (readonly [string, string])[] = [
    ['100,000 strings', `[${'"a",'.repeat(99_999)}"a"]`],
    ['one string of 10 MB', `"${'a'.repeat(10_000_000)}"`],
    ['nested arrays', '[["a",["b"]],[[[]]]]'],
    ['an empty string', '""'],
    ['an empty list', '[]'],
    ['numbers and null', '[1,null,{"a":1}]'],
  ]
  test.each(inputs.flatMap(([what, input]) => embedRoutes.map((path) => [what, path, input] as const)))(
    'B51: an input of %s on %s reaches the node whole, and its words come back',
    async (_, path, input) => {
      gateway.node.script = (_incoming, outgoing) => sendJson(outgoing, 400, { error: 'invalid input type, says the node' })
      const body = `{"model":"small","input":${input}}`
      const answer = await gateway.ask('POST', path, { body })
      gateway.node.script = answerAsBefore
      expect([answer.status, answer.body]).toEqual([400, '{"error":"invalid input type, says the node"}'])
      await gateway.assertHealthy()
    },
  )

  test.each([
    '/api/show',
    '/api/pull',
    '/api/push',
    '/api/create',
    '/api/copy',
    '/api/embed',
    '/api/generate',
    '/v1/responses',
    '/v1/embeddings',
    '/v1/completions',
  ])('T051, T299: an empty body on %s gets the words of the node', async (path) => {
    gateway.node.script = (_incoming, outgoing) => sendJson(outgoing, 400, { error: 'missing request body, says the node' })
    const answer = await gateway.ask('POST', path, { body: '' })
    gateway.node.script = answerAsBefore
    expect([answer.status, answer.body]).toEqual([400, '{"error":"missing request body, says the node"}'])
    await gateway.assertHealthy()
  })

  test.each([
    ['no JSON', 'nope'],
    ['an empty body', ''],
    ['an array', '[]'],
    ['__proto__', '{"__proto__":{"url":"http://x"}}'],
    ['a file URL', '{"url":"file:///etc/passwd"}'],
    ['an unknown field', '{"url":"http://127.0.0.1:1","admin":true}'],
  ])('/admin/nodes with %s gets a problem document', async (_, body) => {
    const answer = await gateway.ask('POST', '/admin/nodes', { headers: ['Content-Type: application/json'], body })
    expect(answer.status).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(JSON.parse(answer.body)).toMatchObject({ status: 400, code: 'invalid_request' })
    expect(gateway.app.fleet.nodes.length).toBe(1)
    await gateway.assertHealthy()
  })
})
