// Requests that every node refuses for the type of a field, and those that it does not.

import { expect, test } from 'vitest'

import { isMisfit } from '../../src/wire/misfit.ts'
import { makeRequest } from '../fleet/requests.ts'

const chat = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
const prompt = { model: 'm', prompt: 'hi' }

const misfits: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['/api/chat', { ...chat, stream: 'true' }],
  ['/api/chat', { ...chat, STREAM: 1 }],
  ['/api/chat', { ...chat, messages: 'hi' }],
  ['/api/chat', { ...chat, options: 'num_ctx' }],
  ['/api/chat', { ...chat, options: { num_ctx: '4096' } }],
  ['/api/chat', { ...chat, options: { num_gpu: true } }],
  ['/api/chat', { ...chat, options: { use_mmap: 1 } }],
  ['/api/chat', { ...chat, keep_alive: '300' }],
  ['/api/chat', { ...chat, keep_alive: true }],
  ['/api/chat', { ...chat, tools: {} }],
  ['/api/chat', { ...chat, keep_alive: '' }],
  ['/api/chat', { ...chat, keep_alive: {} }],
  ['/api/generate', { ...prompt, prompt: ['hi'] }],
  ['/api/generate', { ...prompt, suffix: 1 }],
  ['/api/generate', { ...prompt, images: 'x' }],
  ['/api/generate', { ...prompt, raw: 'yes' }],
  ['/api/embed', { model: 'm', input: 'hi', truncate: 'no' }],
  ['/api/embeddings', { ...prompt, prompt: 5 }],
  ['/api/embeddings', { ...prompt, keep_alive: 'soon' }],
  ['/api/embeddings', { ...prompt, options: { num_ctx: [] } }],
  ['/v1/chat/completions', { ...chat, stream: 'true' }],
  ['/v1/chat/completions', { ...chat, tools: 'x' }],
  ['/v1/messages', { ...chat, messages: {} }],
  ['/v1/responses', { model: 'm', input: 'hi', stream: 0 }],
  ['/v1/completions', { ...prompt, stream: 'x' }],
]

test.each(misfits)('%s %j is refused by every node', (path, body) => {
  expect(isMisfit(makeRequest(path, body))).toBe(true)
})

const fits: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['/api/chat', { ...chat, stream: null, tools: null, options: null, keep_alive: null, shift: false }],
  ['/api/chat', { ...chat, keep_alive: '5m', options: { num_ctx: 4_096, use_mmap: false, num_gpu: null, stop: 'x' }, think: 'high' }],
  // Versions that lack these fields and this option pass over them.
  ['/api/chat', { ...chat, truncate: 'no', shift: 'no' }],
  ['/api/generate', { ...prompt, truncate: 1, shift: 1 }],
  ['/api/chat', { ...chat, options: { draft_num_predict: 'x' } }],
  // Other options are refused later, with the model in memory.
  ['/api/chat', { ...chat, options: { num_predict: 'x', temperature: 'hot', no_such_option: [] } }],
  ['/api/chat', { ...chat, options: { num_ctx: 4_096.5, num_gpu: -1 } }],
  // Go reads durations of any length.
  ['/api/chat', { ...chat, keep_alive: `${'0'.repeat(130)}5m` }],
  ['/api/chat', { ...chat, keep_alive: '+1.5h.5m0s' }],
  ['/api/chat', { ...chat, keep_alive: '0' }],
  ['/api/chat', { ...chat, suffix: 1, raw: 'not a field here', images: 'not a field here' }],
  ['/api/generate', { ...prompt, tools: 'not a field here' }],
  ['/api/embeddings', { ...prompt, truncate: 'not a field here', stream: 'not a field here', input: 5 }],
  ['/api/embed', { model: 'm', input: 'hi', prompt: 5, shift: 'not a field here' }],
  ['/v1/messages', { ...chat, system: 5, options: 'not a field here' }],
  ['/v1/completions', { ...prompt, messages: 'not a field here', tools: 'not a field here' }],
  ['/v1/embeddings', { model: 'm', input: 'hi', truncate: 'not a field here' }],
  ['/api/show', { model: 'm', options: 'x', stream: 'x' }],
  ['/api/chat', { ...chat, keep_alive: -1, format: 'json', prompt: ['not a field here'] }],
  ['/api/generate', { ...prompt, messages: 'not a field here' }],
  ['/api/embed', { model: 'm', input: 5, stream: 'not a field here' }],
  ['/v1/chat/completions', { ...chat, keep_alive: true, options: 'not a field here' }],
  ['/v1/responses', { model: 'm', input: 'hi', messages: 'not a field here' }],
  ['/v1/embeddings', { model: 'm', input: 'hi', stream: 'not a field here' }],
]

test.each(fits)('%s %j may be answered', (path, body) => {
  expect(isMisfit(makeRequest(path, body))).toBe(false)
})
