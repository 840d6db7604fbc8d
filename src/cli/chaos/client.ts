/** The clients of a chaos run: each asks for a short stream, reads it to its end, and says how it went. */
import type { Clock } from '../../base/clock.ts'

export interface Reply {
  readonly kind: 'good' | 'refused' | 'cut' | 'cut silently' | 'gave up' | 'disconnected'
  /** For people: `503 queue_full`. */
  readonly what: string
  readonly firstFrameMs: number | null
  readonly attempts: number
  /** A refusal that says when to come again. */
  readonly toldWhen: boolean
}

export interface Asking {
  readonly url: string
  readonly model: string
  readonly signal: AbortSignal
  readonly clock: Clock
}

let serial = 0

/** Never rejects. */
export async function askOnce({ url, model, signal, clock }: Asking): Promise<Reply> {
  const startedAtMs = clock.nowMs()
  serial += 1
  // A text of its own, so that no cache answers for the nodes.
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: `chaos ${serial}` }], options: { num_predict: 8 } })
  let firstFrameMs: number | null = null
  let attempts = 1
  const said = (kind: Reply['kind'], what: string, toldWhen = false): Reply => ({ kind, what, firstFrameMs, attempts, toldWhen })
  try {
    const response = await fetch(`${url}/api/chat`, { method: 'POST', body, signal, headers: { 'content-type': 'application/json' } })
    attempts = Number(/attempts=(\d+)/.exec(response.headers.get('x-corral-route') ?? '')?.[1] ?? 1)
    if (!response.ok || response.body === null) {
      const code = /"code":"(\w+)"/.exec(await response.text())?.[1]
      const what = code === undefined ? `${response.status}` : `${response.status} ${code}`
      return said('refused', what, response.status === 503 && response.headers.has('retry-after'))
    }
    let text = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      firstFrameMs ??= clock.nowMs() - startedAtMs
      text += chunk
    }
    if (text.includes('"error"')) return said('cut', 'cut, with an error')
    return text.includes('"done":true') ? said('good', 'good') : said('cut silently', 'cut without a word')
  } catch (error) {
    if (signal.aborted) return said('gave up', `no end within the client's patience`)
    return firstFrameMs === null
      ? said('disconnected', `connection lost (${error instanceof Error ? error.message : String(error)})`)
      : said('cut silently', 'cut without a word')
  }
}

export interface Crowd extends Omit<Asking, 'signal'> {
  readonly requests: number
  readonly clients: number
  /** How long one client waits for one answer, and the crowd for all. */
  readonly patienceMs: number
  readonly signal: AbortSignal
  /** Called once, when so many have ended. */
  readonly after: { readonly ended: number; readonly act: () => Promise<void> }
}

/** A closed loop of clients until `requests` have been sent; replies in the order of their ends. */
export async function sendCrowd(crowd: Crowd): Promise<readonly Reply[]> {
  const { requests, clients, patienceMs, signal, after } = crowd
  const replies: Reply[] = []
  let sent = 0
  const acts: Promise<void>[] = []
  const client = async (): Promise<void> => {
    while (sent < requests && !signal.aborted) {
      sent += 1
      replies.push(await askOnce({ ...crowd, signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]) }))
      if (replies.length === after.ended) acts.push(after.act())
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  await Promise.all(acts)
  return replies
}
