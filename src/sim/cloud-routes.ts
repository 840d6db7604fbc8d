/**
 * Routes that need ollama.com, which a simulated node never reaches: they fail as the real server without a network does.
 */
import type { Answer } from './answer.ts'
import type { NodeContext } from './context.ts'
import { writeJson, type JsonObject } from './json-value.ts'

const jsonType = 'application/json; charset=utf-8'

function send(answer: Answer, status: number, body: JsonObject): void {
  answer.whole(status, writeJson(body), jsonType)
}

/** The error text of a name that cannot be resolved. */
export function lookupFailure(context: NodeContext, host: string): string {
  const port = 32_768 + Math.floor(context.random() * 28_000)
  return `dial tcp: lookup ${host} on 127.0.0.1:53: read udp 127.0.0.1:${port}->127.0.0.1:53: read: connection refused`
}

export interface CloudCall {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** What is unavailable when the cloud is switched off. */
  readonly subject: 'remote model' | 'web search' | 'web fetch'
}

/** Refuses a call that would be handed to ollama.com. The shape is Ollama's own on every route. */
export function refuseCloud(context: NodeContext, answer: Answer, call: CloudCall): void {
  if (context.settings.cloud === 'disabled') {
    send(answer, 403, { error: `ollama cloud is disabled: ${call.subject} is unavailable` })
    return
  }
  const method = call.method === 'GET' ? 'Get' : 'Post'
  const seconds = Math.floor(context.ticker.clock.wallMs() / 1_000)
  const url = `https://ollama.com:443${call.path}?ts=${seconds}`
  send(answer, 502, { error: `${method} "${url}": ${lookupFailure(context, 'ollama.com')}` })
}

export function webSearch(context: NodeContext, answer: Answer, bytes: Buffer): void {
  if (hasBody(context, answer, bytes)) refuseCloud(context, answer, { method: 'POST', path: '/api/web_search', subject: 'web search' })
}

export function webFetch(context: NodeContext, answer: Answer, bytes: Buffer): void {
  if (hasBody(context, answer, bytes)) refuseCloud(context, answer, { method: 'POST', path: '/api/web_fetch', subject: 'web fetch' })
}

function hasBody(context: NodeContext, answer: Answer, bytes: Buffer): boolean {
  if (bytes.length > 0 || context.settings.cloud === 'disabled') return true
  send(answer, 400, { error: 'missing request body' })
  return false
}

export function me(_context: NodeContext, answer: Answer): void {
  send(answer, 503, { error: 'account unavailable' })
}

export function signOut(_context: NodeContext, answer: Answer): void {
  send(answer, 500, { error: 'there was an error signing out' })
}
