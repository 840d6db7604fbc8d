// Words of requests through whole gateways: what the history has of them is what clients sent and got, in every dialect.
import { expect, test } from 'vitest'

import { operatorAct } from './fixture.ts'
import { type KeyedGateway, type KeyedHerdOptions, startKeyedHerd } from './keyed-herd.ts'

const model = 'llama3.2:3b'
const messages = [{ role: 'user', content: 'tell me of marmalade' }]

async function stand(texts: Readonly<Record<string, unknown>>, more: KeyedHerdOptions = {}): Promise<KeyedGateway> {
  const { gateways } = await startKeyedHerd({ ...more, sections: { limits: { usage: { texts } }, ...more.sections } })
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  return gateway
}

interface Detail {
  readonly prompt: string | null
  readonly answer: string | null
}

async function detailOf(gateway: KeyedGateway, id: string, key: string): Promise<{ status: number; value: Detail }> {
  const { status, text } = await gateway.ask(`/admin/requests/history/${encodeURIComponent(id)}`, key)
  return { status, value: JSON.parse(text) }
}

/** Every text under one of these names, in order: what a client of any dialect shows. */
function wordsOf(body: string): string {
  const words: string[] = []
  for (const line of body.split('\n')) {
    const json = line.startsWith('data: ') ? line.slice(6) : line
    if (!json.startsWith('{')) continue
    const event: unknown = JSON.parse(json)
    const type = Reflect.get(Object(event), 'type')
    if (typeof type === 'string' && type.startsWith('response.') && type !== 'response.output_text.delta') continue
    JSON.stringify(event, (name, value: unknown) => {
      if (typeof value === 'string' && ['content', 'response', 'text', 'delta'].includes(name)) words.push(value)
      return value
    })
  }
  return words.join('')
}

test.each([
  ['/api/chat', { messages, options: { num_predict: 8 } }],
  ['/api/generate', { prompt: 'tell me of marmalade', options: { num_predict: 8 } }],
  ['/v1/chat/completions', { messages, max_tokens: 8 }],
  ['/v1/completions', { prompt: 'tell me of marmalade', max_tokens: 8 }],
  ['/v1/responses', { input: 'tell me of marmalade', max_output_tokens: 8 }],
  ['/v1/messages', { messages, max_tokens: 8 }],
])('%s: the history has the body as it was sent and the words as they came, of a stream and of one piece', async (path, fields) => {
  const gateway = await stand({ keep: 'all' })
  const key = await gateway.key({ scopes: ['chat', 'admin'] })
  for (const stream of [true, false]) {
    const body = { model, ...fields, stream }
    const reply = await gateway.ask(path, key, body)
    expect(reply.status).toBe(200)
    const { status, value } = await detailOf(gateway, String(reply.headers['x-request-id']), key)
    expect(status).toBe(200)
    expect(JSON.parse(value.prompt ?? '')).toEqual(body)
    const words = wordsOf(reply.text)
    expect(words.length).toBeGreaterThan(5)
    expect(value.answer).toBe(words)
  }
})

test('an answer from the cache has its words too', async () => {
  const gateway = await stand({ keep: 'all' }, { sections: { cache: { enabled: true } } })
  const key = await gateway.key({ scopes: ['chat', 'admin'] })
  const body = { model, messages, options: { temperature: 0, seed: 1 } }
  const answers: (string | null)[] = []
  for (let time = 0; time < 2; time += 1) {
    const reply = await gateway.ask('/api/chat', key, body)
    if (time === 1) expect(reply.headers['x-corral-cache']).toBe('hit')
    answers.push((await detailOf(gateway, String(reply.headers['x-request-id']), key)).value.answer)
  }
  expect(answers[0]).not.toBeNull()
  expect(answers[1]).toBe(answers[0])
})

test('an admin of another tenant gets no word, nor does a key without the right', async () => {
  const gateway = await stand({ keep: 'all' })
  for (const tenant of ['acme', 'rival']) await gateway.identity.tenants.put(tenant, {}, operatorAct)
  const chat = await gateway.key({ tenant: 'acme', scopes: ['chat'] })
  const reply = await gateway.ask('/api/chat', chat, { model, messages, stream: false })
  const id = String(reply.headers['x-request-id'])
  const statusOf = async (tenant: string, scopes: readonly ['admin'] | readonly ['chat']): Promise<number> =>
    (await detailOf(gateway, id, await gateway.key({ tenant, scopes: [...scopes] }))).status
  expect(await statusOf('acme', ['admin'])).toBe(200)
  expect(await statusOf('local', ['admin'])).toBe(200)
  expect(await statusOf('rival', ['admin'])).toBe(404)
  expect(await statusOf('acme', ['chat'])).toBe(403)
})
