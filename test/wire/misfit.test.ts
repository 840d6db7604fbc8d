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
  ['/api/generate', { ...prompt, prompt: ['hi'] }],
  ['/api/generate', { ...prompt, raw: 'yes' }],
  ['/api/embed', { model: 'm', input: 'hi', truncate: 'no' }],
  ['/v1/chat/completions', { ...chat, stream: 'true' }],
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
