/**
 * The relay layer that answers for assistants: a request for one becomes a grounded answer of its real model, written back in the client's own
 * dialect under the assistant's name. Every other request passes after one look at a map. It stands inside of access checks, which see the
 * assistant's name, and outside of limits and cache, which see what is really run.
 */
import type { Assistant } from '../core/assistant.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Relay, RelayLayer } from '../core/relay.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { routes } from '../wire/routes.ts'
import { withField } from '../wire/with-field.ts'
import { answer, type AnswerDeps } from './answer.ts'
import { modelObject, withAssistants } from './assistant-list.ts'
import { readQuestion } from './dialect-request.ts'
import { askedOperation, writerFor } from './dialects.ts'
import { wholeBody, writtenAnswer } from './written-answer.ts'

export interface GroundedDeps extends Omit<AnswerDeps, 'relay'> {
  readonly assistants: {
    find(tenant: string, canonical: string): Assistant | undefined
    of(tenant: string): readonly Assistant[]
  }
  /** What a caller may see within its tenant, for cache keys; left out: all of it. */
  readonly accessOf?: (call: Call) => string
}

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
    return Promise.resolve(wholeBody(modelObject(assistant), 'application/json', deps.clock.nowMs()))
  const isQuestion = askedOperation(request.route) !== null && !request.envelope.empty
  // What only loads, unloads or describes is the real model's.
  if (!isQuestion && (request.envelope.empty || request.route.operation === 'show'))
    return deps.relay(forModel(request, assistant.model), call)
  return isQuestion ? ground(assistant, asked, deps) : Promise.reject(notAnswered(assistant, request))
}

function notAnswered({ name }: Assistant, { route }: InferenceRequest): CorralError {
  const doors = routes.filter((other) => askedOperation(other) !== null).map(({ pattern }) => pattern)
  return new CorralError('not_implemented', `${route.pattern} does not answer for the assistant ${name}; ask it by ${doors.join(', ')}`, {
    status: 400,
  })
}

/** The same request to another model; only the name's bytes change. */
function forModel(request: InferenceRequest, model: string): InferenceRequest {
  const key = request.envelope.fields.has('model') ? 'model' : request.envelope.fields.has('name') ? 'name' : 'model'
  return { ...withField(request, key, JSON.stringify(model)), model: canonicalModelName(model) }
}

async function ground(assistant: Assistant, { request, call }: Asked, deps: LayerDeps): Promise<Answer> {
  const { question, history, system, instructions: given, options, wantsUsage } = readQuestion(request)
  const { clock } = deps
  const { collections, model, prompt, settings } = assistant
  const facts = {
    model: request.envelope.model ?? request.model ?? assistant.name,
    id: call.id,
    wallMs: () => clock.wallMs(),
    startedAtMs: clock.nowMs(),
    nowMs: () => clock.nowMs(),
    wantsUsage,
  }
  const writer = writerFor(request.route, facts, { instructions: given, options: { temperature: settings.temperature, ...options } })
  if (writer === null) throw notAnswered(assistant, request)
  const instructions = [prompt, system].filter((text) => text.trim() !== '').join('\n\n')
  const access = deps.accessOf?.(call) ?? ''
  const stream = await answer(
    {
      question,
      history,
      collections,
      model,
      instructions,
      settings,
      options,
      access,
      headers: request.headers,
      route: request.route.pattern,
    },
    call,
    deps,
  )
  return writtenAnswer(stream, { question, request, call, writer, queueBytes: deps.options().queueBytes })
}
