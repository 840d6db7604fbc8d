/** Requests and calls as the edge would make them, and what came of an answer. */
import { CallSignal } from '../../src/base/abort.ts'
import type { ByteQueue } from '../../src/base/byte-queue.ts'
import { type Call, newProgress } from '../../src/core/call.ts'
import { type Principal, openPrincipal } from '../../src/core/principal.ts'
import type { Answer, InferenceRequest, Outcome } from '../../src/core/relay.ts'
import { scanEnvelope } from '../../src/wire/envelope.ts'
import { canonicalModelName } from '../../src/wire/model-name.ts'
import { routes } from '../../src/wire/routes.ts'

/** A body of text, bytes, or fields. */
export type Body = string | Buffer | Readonly<Record<string, unknown>>

/** `headers`: a flat list, names in lower case. */
export function requestOf(path: string, body: Body, headers: readonly string[] = []): InferenceRequest {
  const route = routes.find(({ pattern }) => pattern === path)
  if (route === undefined) throw new Error(`no route ${path}`)
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const envelope = scanEnvelope(bytes, { depthMax: 20_000, keysMax: 10_000 })
  const model = envelope.model === null ? null : canonicalModelName(envelope.model)
  const stream = route.streams && (envelope.stream ?? route.streamsByDefault)
  return { route, method: 'POST', target: path, headers, body: bytes, envelope, model, stream }
}

export interface CallOptions {
  readonly tenant?: string
  readonly deadlineAtMs?: number
  readonly priority?: Call['priority']
  /** What the caller's credential says beside its tenant. */
  readonly principal?: Partial<Omit<Principal, 'tenant'>>
}

let calls = 0

export function newCall({ tenant = 'a', deadlineAtMs = Infinity, priority = 'interactive', principal = {} }: CallOptions = {}): Call {
  calls += 1
  return {
    id: `call-${calls}`,
    receivedAtMs: 0,
    deadlineAtMs,
    priority,
    tenant,
    principal: { ...openPrincipal, ...principal, tenant },
    signal: new CallSignal(),
    trace: null,
    progress: newProgress(),
    explanation: null,
  }
}

/** All bytes of a stream, when it ended. */
export function readAll(frames: ByteQueue): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    frames.attach({
      take(chunk) {
        chunks.push(chunk)
        return true
      },
      end: () => resolve(Buffer.concat(chunks)),
    })
  })
}

/** The answer with the head that its client sees, which tells of a cache that had no part in it, too. */
export async function shown(answering: Promise<Answer>, { progress }: Call): Promise<Answer> {
  const answer = await answering
  return { ...answer, headers: { ...answer.headers, ...progress.bypassHeaders } }
}

export interface Taken {
  readonly status: number
  readonly headers: Answer['headers']
  readonly text: string
  readonly outcome: Outcome
  /** What the cache had to do with it. */
  readonly cache: string | undefined
}

/** Takes an answer to its end. */
export async function take(answering: Promise<Answer>): Promise<Taken> {
  const answer = await answering
  const { status, headers } = answer
  const cache = answer.provenance.cache ?? headers['x-corral-cache']?.toString()
  if (answer.kind === 'whole') return { status, headers, cache, text: answer.body.toString(), outcome: answer.outcome }
  const bytes = await readAll(answer.frames)
  return { status, headers, cache, text: bytes.toString(), outcome: await answer.outcome }
}
