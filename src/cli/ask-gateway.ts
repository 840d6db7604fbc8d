/** What `corral doctor` asks a running gateway for, with the key of the environment. */
import { apiKey } from '../config/environment.ts'

/** The answer; null where there is no such route. Throws on any other answer, and when none came in `timeoutMs`. */
export async function askGateway(url: string, timeoutMs: number, body?: string): Promise<unknown> {
  const key = apiKey()
  const headers = { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }) }
  const sent = body === undefined ? {} : { method: 'POST', body }
  const response = await fetch(url, { ...sent, headers, signal: AbortSignal.timeout(timeoutMs) })
  if (response.ok) return response.json()
  await response.body?.cancel()
  if (response.status === 404 && body === undefined) return null
  throw new Error(`${new URL(url).pathname} answered ${response.status}`)
}
