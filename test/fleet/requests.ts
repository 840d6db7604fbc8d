/** Requests as the edge hands them to the fleet, made from a path and a body. */
import { newProgress, type Call } from '../../src/core/call.ts'
import { CallSignal } from '../../src/base/abort.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import type { InferenceRequest } from '../../src/core/relay.ts'
import { scanEnvelope } from '../../src/wire/envelope.ts'
import { canonicalModelName } from '../../src/wire/model-name.ts'
import { routes } from '../../src/wire/routes.ts'

/** A POST of `body` to `path`. */
export function makeRequest(path: string, body: Readonly<Record<string, unknown>>): InferenceRequest {
  const route = routes.find(({ pattern }) => pattern === path)
  if (route === undefined) throw new Error(`no route ${path}`)
  const bytes = Buffer.from(JSON.stringify(body))
  const envelope = scanEnvelope(bytes, { depthMax: 100, keysMax: 1_000 })
  return {
    route,
    method: 'POST',
    target: path,
    headers: ['content-type', 'application/json'],
    body: bytes,
    envelope,
    model: envelope.model === null ? null : canonicalModelName(envelope.model),
    stream: route.streams && (envelope.stream ?? route.streamsByDefault),
  }
}

let calls = 0

export function makeCall(change: Partial<Call> = {}): Call {
  calls += 1
  return {
    id: `call-${calls}`,
    receivedAtMs: 0,
    deadlineAtMs: Infinity,
    priority: 'interactive',
    tenant: 'local',
    principal: openPrincipal,
    signal: new CallSignal(),
    trace: null,
    progress: newProgress(),
    explanation: null,
    ...change,
  }
}
