// What the published clients make of a refusal: the class each of them throws, and the type and code it reads.
import Anthropic, { AuthenticationError as AnthropicAuthentication, PermissionDeniedError as AnthropicPermission } from '@anthropic-ai/sdk'
import { Ollama } from 'ollama'
import OpenAI, { AuthenticationError, PermissionDeniedError } from 'openai'
import { expect, test } from 'vitest'

import { startKeyedHerd } from './keyed-herd.ts'

const wrong = `corral_${'a'.repeat(51)}`
const messages = [{ role: 'user' as const, content: 'hello' }]
const model = 'llama3.2:3b'

async function stand(): Promise<{ url: string; weak: string }> {
  const { gateways } = await startKeyedHerd()
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  return { url: gateway.url, weak: await gateway.key({ scopes: ['embed'] }) }
}

async function thrownBy(work: Promise<unknown>): Promise<unknown> {
  try {
    await work
  } catch (thrown) {
    return thrown
  }
  throw new Error('nothing was thrown')
}

test('openai: a bad key is an AuthenticationError as OpenAI’s own, a weak one a PermissionDeniedError', async () => {
  const { url, weak } = await stand()
  const ask = (apiKey: string, stream: boolean) =>
    new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 }).chat.completions.create({ model, messages, stream })
  for (const stream of [false, true]) {
    const bad = await thrownBy(ask(wrong, stream))
    expect(bad).toBeInstanceOf(AuthenticationError)
    expect(bad).toMatchObject({ status: 401, type: 'invalid_request_error', code: 'invalid_api_key', param: null })
    const denied = await thrownBy(ask(weak, stream))
    expect(denied).toBeInstanceOf(PermissionDeniedError)
    expect(denied).toMatchObject({ status: 403, type: 'permission_error', code: 'insufficient_scope' })
  }
})

test('anthropic: an AuthenticationError of type authentication_error, a PermissionDeniedError of permission_error', async () => {
  const { url, weak } = await stand()
  const ask = (apiKey: string) => new Anthropic({ apiKey, baseURL: url, maxRetries: 0 }).messages.create({ model, messages, max_tokens: 4 })
  const bad = await thrownBy(ask(wrong))
  expect(bad).toBeInstanceOf(AnthropicAuthentication)
  expect(bad).toMatchObject({ status: 401, error: { type: 'error', error: { type: 'authentication_error' } } })
  const denied = await thrownBy(ask(weak))
  expect(denied).toBeInstanceOf(AnthropicPermission)
  expect(denied).toMatchObject({ status: 403, error: { type: 'error', error: { type: 'permission_error' } } })
})

test('ollama: a ResponseError with the words of the gateway', async () => {
  const { url, weak } = await stand()
  const ask = (key: string) => new Ollama({ host: url, headers: { Authorization: `Bearer ${key}` } }).chat({ model, messages })
  expect(await thrownBy(ask(wrong))).toMatchObject({ name: 'ResponseError', status_code: 401, error: expect.stringContaining('API key') })
  expect(await thrownBy(ask(weak))).toMatchObject({ name: 'ResponseError', status_code: 403, error: 'this needs the scope chat' })
})
