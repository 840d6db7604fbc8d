// Calls, requests and answers for the observe tests, and a log sink that keeps its lines.
import { CallSignal } from '../../src/base/abort.ts'
import { systemClock } from '../../src/base/clock.ts'
import { type Call, newProgress } from '../../src/core/call.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import type { InferenceRequest, Outcome, Usage } from '../../src/core/relay.ts'
import type { RouteFacts } from '../../src/core/route.ts'
import type { EndedRequest, ObservedAttempt } from '../../src/observe/events.ts'
import type { LineSink } from '../../src/observe/line-sink.ts'
import { createObserver, type Observer } from '../../src/observe/observer.ts'
import { observeOptions } from '../../src/observe/options.ts'
import { emptyEnvelope } from '../../src/wire/envelope.ts'
import { routes } from '../../src/wire/routes.ts'

export const usage: Usage = {
  promptTokens: 20,
  cachedPromptTokens: 5,
  outputTokens: 11,
  loadMs: 1,
  promptMs: 2,
  outputMs: 3,
  totalMs: 6,
}

export function makeCall(id = 'call-1'): Call {
  return {
    id,
    receivedAtMs: systemClock.nowMs(),
    deadlineAtMs: Infinity,
    priority: 'interactive',
    tenant: 'local',
    principal: openPrincipal,
    signal: new CallSignal(),
    trace: {
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      parentId: null,
      inner: false,
      sampled: true,
      state: null,
    },
    progress: newProgress(),
    explanation: null,
  }
}

export function facts(pattern: string): RouteFacts {
  const found = routes.find((route) => route.pattern === pattern)
  if (found === undefined) throw new Error(`no route ${pattern}`)
  return found
}

export function makeRequest(model: string | null = 'qwen3:8b'): InferenceRequest {
  return {
    route: facts('/api/chat'),
    method: 'POST',
    target: '/api/chat',
    headers: [],
    body: Buffer.from('{"prompt":"a secret prompt"}'),
    envelope: emptyEnvelope,
    model,
    stream: true,
  }
}

export function outcome(kind: Outcome['kind'] = 'ok'): Outcome {
  return { kind, usage, frames: 11, bytes: 1_234, error: null }
}

/** A whole answer of `node`, at its end. */
export function ended(model: string, node = 'a'): EndedRequest {
  const request = makeRequest(model)
  return {
    facts: request.route,
    method: 'POST',
    model,
    call: makeCall(),
    status: 200,
    stream: false,
    outcome: outcome(),
    node,
    reason: 'only',
    attempts: 1,
    bytes: 0,
    firstFrameAtMs: null,
  }
}

/** A first try that did not wait, of a model with a context of 4,096 tokens. */
export function triedOn(node: string, model = 'qwen3:8b'): ObservedAttempt {
  const call = makeCall()
  call.progress.attempts = 1
  const runner = { node, bounded: true, listed: () => ({ contextLength: 4_096 }) }
  const request = { envelope: { promptTokens: 20 } }
  return { claim: { runner, model, waitedMs: 0 }, call, startedAtMs: call.receivedAtMs + 2, usage, request, frameCount: 11 }
}

export interface KeptLines extends LineSink {
  readonly lines: string[]
}

export function keepLines(): KeptLines {
  const lines: string[] = []
  return {
    lines,
    dropped: 0,
    write: (line) => void lines.push(line),
    flush: () => Promise.resolve(),
    flushSync: () => undefined,
    reopen: () => undefined,
  }
}

function knownModel(model: string): string | null {
  return model.startsWith('unknown') ? null : model
}

export function makeObserver(given: unknown = {}, processMetrics = false): { observer: Observer; sink: KeptLines } {
  const sink = keepLines()
  const options = observeOptions.parse(given)
  const observer = createObserver({ options: () => options, clock: systemClock, version: '0.1.0', knownModel, sink, processMetrics })
  return { observer, sink }
}

/** The text of a scrape. */
export async function scrapeOf({ metrics }: Pick<Observer, 'metrics'>): Promise<string> {
  return (await metrics.render()).body
}

/** Value of a sample by its exact series text; null when there is none. */
export function sample(text: string, series: string): number | null {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `))
  return line === undefined ? null : Number(line.slice(series.length + 1))
}
