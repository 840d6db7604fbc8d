/**
 * The relay layer that answers for assistants: a request for one becomes a grounded answer of its real model, written back in the client's own
 * dialect under the assistant's name. Every other request passes after one look at a map. It stands inside of access checks, which see the
 * assistant's name, and outside of limits and cache, which see what is really run.
 */
import { ByteQueue } from '../base/byte-queue.ts'
import type { Assistant } from '../core/assistant.ts'
import type { Call } from '../core/call.ts'
import { CorralError, toCorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Relay, RelayLayer, StreamAnswer, WholeAnswer } from '../core/relay.ts'
import { scanEnvelope } from '../wire/envelope.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { renderStreamError } from '../wire/render-error.ts'
import { replaceField } from '../wire/splice.ts'
import type { AnswerEvent, AnswerStream, FinishedAnswer } from './answer-stream.ts'
import { answer, type AnswerDeps } from './answer.ts'
import { modelObject, withAssistants } from './assistant-list.ts'
import { readQuestion } from './dialect-request.ts'
import type { DialectWriter } from './dialect.ts'
import { writerFor } from './dialects.ts'
import { sourcesList } from './sources-list.ts'

export interface GroundedDeps extends Omit<AnswerDeps, 'relay'> {
  readonly assistants: {
    find(tenant: string, canonical: string): Assistant | undefined
    of(tenant: string): readonly Assistant[]
  }
  /** What a caller may see within its tenant, for cache keys; left out: all of it. */
  readonly accessOf?: (call: Call) => string
}

const unlimited = { depthMax: Infinity, keysMax: Infinity }
const answeredPatterns = new Set(['/api/chat', '/api/generate', '/v1/chat/completions', '/v1/messages'])
const listPatterns = new Set(['/api/tags', '/v1/models'])

/** Answers for assistants, lists them, and passes everything else on untouched. */
export function grounded(deps: GroundedDeps): RelayLayer {
  return (next) => (request, call) => {
    const { model, route } = request
    if (model !== null) {
      const assistant = deps.assistants.find(call.tenant, model)
      return assistant === undefined ? next(request, call) : answerFor(assistant, { request, call }, { ...deps, relay: next })
    }
    return listPatterns.has(route.pattern) ? listed(request, call, { deps, next }) : next(request, call)
  }
}

async function listed(request: InferenceRequest, call: Call, { deps, next }: { deps: GroundedDeps; next: Relay }): Promise<Answer> {
  const answered = await next(request, call)
  return withAssistants(answered, deps.assistants.of(call.tenant), request.route.pattern === '/api/tags')
}

interface Asked {
  readonly request: InferenceRequest
  readonly call: Call
}

type LayerDeps = GroundedDeps & Pick<AnswerDeps, 'relay'>

function answerFor(assistant: Assistant, asked: Asked, deps: LayerDeps): Promise<Answer> {
  const { request, call } = asked
  if (request.route.pattern === '/v1/models/:model')
    return Promise.resolve(wholeOf(modelObject(assistant), 'application/json', deps.clock.nowMs()))
  const isQuestion = answeredPatterns.has(request.route.pattern) && !request.envelope.empty
  // What only loads, unloads or describes is the real model's.
  if (!isQuestion && (request.envelope.empty || request.route.operation === 'show'))
    return deps.relay(forModel(request, assistant.model), call)
  return isQuestion ? ground(assistant, asked, deps) : Promise.reject(notAnswered(assistant, request))
}

function notAnswered({ name }: Assistant, { route }: InferenceRequest): CorralError {
  const doors = [...answeredPatterns].join(', ')
  return new CorralError('not_implemented', `${route.pattern} does not answer for the assistant ${name}; ask it by ${doors}`, {
    status: 400,
  })
}

/** The same request to another model; only the name's bytes change. */
function forModel(request: InferenceRequest, model: string): InferenceRequest {
  const key = request.envelope.fields.has('model') ? 'model' : request.envelope.fields.has('name') ? 'name' : 'model'
  const body = replaceField(request.body, request.envelope, key, JSON.stringify(model))
  return { ...request, body, envelope: scanEnvelope(body, unlimited), model: canonicalModelName(model) }
}

async function ground(assistant: Assistant, { request, call }: Asked, deps: LayerDeps): Promise<Answer> {
  const { question, history, system, options, wantsUsage } = readQuestion(request)
  const { clock } = deps
  const writer = writerFor(request.route, {
    model: request.envelope.model ?? request.model ?? assistant.name,
    id: call.id,
    wallMs: () => clock.wallMs(),
    startedAtMs: clock.nowMs(),
    nowMs: () => clock.nowMs(),
    wantsUsage,
  })
  if (writer === null) throw notAnswered(assistant, request)
  const { collections, model, prompt, settings } = assistant
  const instructions = [prompt, system].filter((text) => text.trim() !== '').join('\n\n')
  const access = deps.accessOf?.(call) ?? ''
  const stream = await answer(
    { question, history, collections, model, instructions, settings, options, access, headers: request.headers },
    call,
    deps,
  )
  const written: Written = { question, request, call, writer, queueBytes: deps.options().queueBytes }
  return request.stream ? streamed(stream, written) : whole(stream, written)
}

interface Written {
  readonly question: string
  readonly request: InferenceRequest
  readonly call: Call
  readonly writer: DialectWriter
  readonly queueBytes: number
}

function streamed(stream: AnswerStream, { question, request, call, writer, queueBytes }: Written): StreamAnswer {
  const frames = new ByteQueue(queueBytes)
  frames.onCancel = (reason) => stream.cancel(reason)
  let frameCount = 0
  let bytes = 0
  const push = (text: string): boolean => {
    if (text === '') return frames.open
    const frame = Buffer.from(text)
    frameCount += 1
    bytes += frame.length
    return frames.push(frame)
  }
  const run = async (): Promise<Outcome> => {
    push(writer.begin())
    const { outcome, summary, finished } = await finish(stream, (event) => push(frameOf(writer, event)))
    const list = summary === null ? '' : sourcesList(question, summary)
    if (finished !== null && outcome.error === null) push((list === '' ? '' : writer.text(list)) + writer.end(finished))
    else push(renderStreamError(request.route, outcome.error ?? new CorralError('internal', 'internal error'), call.id).toString())
    frames.end()
    return { ...outcome, frames: frameCount, bytes }
  }
  return {
    kind: 'stream',
    status: 200,
    headers: { ...stream.headers, ...headersOf(writer.streamType) },
    provenance: stream.provenance,
    frames,
    outcome: run(),
  }
}

/** A bug in the making of an answer ends it as `internal`, with its cause for the log. */
async function finish(
  stream: AnswerStream,
  sink: (event: AnswerEvent) => boolean,
): Promise<{ outcome: Outcome; summary: FinishedAnswer['summary'] | null; finished: FinishedAnswer | null }> {
  try {
    const finished = await stream.run(sink)
    return { outcome: finished.outcome, summary: finished.summary, finished }
  } catch (thrown) {
    const outcome: Outcome = { kind: 'internal', usage: null, frames: 0, bytes: 0, error: toCorralError(thrown) }
    return { outcome, summary: null, finished: null }
  }
}

function frameOf(writer: DialectWriter, event: AnswerEvent): string {
  switch (event.kind) {
    case 'text':
      return writer.text(event.text)
    case 'thinking':
      return writer.thinking(event.text)
    case 'citation':
      return writer.citation(event.citation)
  }
}

async function whole(stream: AnswerStream, { question, writer }: Written): Promise<WholeAnswer> {
  let text = ''
  let thinking = ''
  const finished = await stream.run((event) => {
    if (event.kind === 'text') text += event.text
    else if (event.kind === 'thinking') thinking += event.text
    return true
  })
  if (finished.outcome.kind !== 'ok') throw failureOf(finished)
  const body = writer.whole({ text: text + sourcesList(question, finished.summary), thinking, finished })
  const answered = wholeOf(body, writer.wholeType, stream.provenance.dispatchedAtMs)
  const headers = { ...stream.headers, ...answered.headers }
  return { ...answered, headers, provenance: stream.provenance, outcome: { ...finished.outcome, frames: 1, bytes: answered.body.length } }
}

function failureOf({ outcome }: FinishedAnswer): CorralError {
  return outcome.error ?? new CorralError('node_failed', `the answer ended as ${outcome.kind}`)
}

function wholeOf(text: string, type: string, nowMs: number): WholeAnswer {
  const body = Buffer.from(text)
  const outcome: Outcome = { kind: 'ok', usage: null, frames: 1, bytes: body.length, error: null }
  const provenance = { node: null, reason: 'local', attempts: 0, dispatchedAtMs: nowMs }
  return { kind: 'whole', status: 200, headers: headersOf(type), provenance, body, outcome }
}

function headersOf(type: string): Readonly<Record<string, string>> {
  return { 'content-type': type }
}
