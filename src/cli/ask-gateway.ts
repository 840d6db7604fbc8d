/** What `corral doctor` asks a running gateway for, with the key of the environment. */
import { z } from 'zod'

import { apiKey } from '../config/environment.ts'
import { wordsOf } from './gateway.ts'

/** The answer; null where there is no such route. Throws on any other answer, and when none came in `timeoutMs`. */
export async function askGateway(url: string, timeoutMs: number, body?: string): Promise<unknown> {
  const key = apiKey()
  const headers = { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }) }
  const sent = body === undefined ? {} : { method: 'POST', body }
  const response = await fetch(url, { ...sent, headers, signal: AbortSignal.timeout(timeoutMs) })
  if (response.ok) return response.json()
  const text = await response.text()
  if (response.status === 404 && body === undefined) return null
  const words = wordsOf(text)
  throw new AskError(`${new URL(url).pathname} answered ${response.status}${words === null ? '' : `: ${words}`}`, response.status)
}

class AskError extends Error {
  readonly status: number

  constructor(message: string, status: number) {
    super(message)
    this.status = status
  }
}

/** What to do where a look failed: nothing about the key when the gateway itself could not answer. */
export function adviceOf(error: unknown, aboutKey: string): string {
  return error instanceof AskError && error.status >= 500
    ? 'the gateway could not answer: what is not well above is why, or its log says more'
    : aboutKey
}

const livezMs = 1_000
const livezAnswer = z.object({ status: z.literal('ok') })

/** Whether a Corral answers there: an Ollama knows no /livez. */
export async function answersAsCorral(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/livez`, { signal: AbortSignal.timeout(livezMs) })
    return livezAnswer.safeParse(await response.json()).success
  } catch {
    // Nothing there, or no JSON: not one of ours.
    return false
  }
}
