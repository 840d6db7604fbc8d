/** `POST /rag/chat` as a relay: a cited answer over collections, or by an assistant, in Corral's own events. */
import { RagDialect } from '../../answer/dialect-rag.ts'
import { answerSettings } from '../../answer/assistant-wish.ts'
import type { AnswerRequest } from '../../answer/answer.ts'
import type { Turn } from '../../answer/prompt.ts'
import { writtenAnswer } from '../../answer/written-answer.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { InferenceRequest, Relay, RelayLayer } from '../../core/relay.ts'
import { canonicalModelName } from '../../wire/model-name.ts'
import { decodeBody, heldTo } from '../decode-json.ts'
import { checkModel } from './allowed-model.ts'
import type { RagDeps, RagService } from './rag-deps.ts'
import { namedCollections } from './search.ts'
import { chatBody } from './shapes.ts'

type ChatBody = ReturnType<typeof chatBody.parse>

/** What is asked, and the name by which access is judged and the answer goes out. */
interface Resolved {
  readonly asked: AnswerRequest
  readonly shownModel: string
}

export function chatRelay({ service, clock }: Pick<RagDeps, 'service' | 'clock'>, access: RelayLayer): Relay {
  return async (request, call) => {
    const startedAtMs = clock.nowMs()
    const { asked, shownModel } = await resolve(decodeBody(request.body, 'chat', chatBody), { request, call, service })
    const facts = { wallMs: () => clock.wallMs(), nowMs: () => clock.nowMs(), startedAtMs, wantsUsage: true }
    const answering: Relay = async () => {
      const stream = await service.answer(asked, call)
      const writer = new RagDialect({ ...facts, model: shownModel, id: call.id })
      return writtenAnswer(stream, { question: asked.question, request, call, writer, queueBytes: service.queueBytes() })
    }
    return access(answering)({ ...request, model: canonicalModelName(shownModel) }, call)
  }
}

interface Asked {
  readonly request: InferenceRequest
  readonly call: Call
  readonly service: RagService
}

function resolve(body: ChatBody, asked: Asked): Promise<Resolved> {
  return body.assistant === undefined ? byModel(body, asked) : byAssistant(body, body.assistant, asked)
}

async function byModel(body: ChatBody, { request, call, service }: Asked): Promise<Resolved> {
  const model = body.model ?? (await service.chatModel(call.principal))
  const settings = heldTo(answerSettings, body.settings ?? {}, 'settings')
  checkModel(call.principal, settings.reranker)
  checkModel(call.principal, settings.rewriter)
  const said = conversationOf(body)
  const instructions = [body.instructions, said.system].filter((text) => text.trim() !== '').join('\n\n')
  const common = { model, instructions, settings, options: {}, access: '', headers: request.headers, route: request.route.pattern }
  return { asked: { ...common, collections: namedCollections(body), question: said.question, history: said.history }, shownModel: model }
}

async function byAssistant(body: ChatBody, name: string, { request, call, service }: Asked): Promise<Resolved> {
  if (body.collection !== undefined || body.collections !== undefined || body.model !== undefined || body.settings !== undefined) {
    throw new CorralError('invalid_request', 'an assistant has collections, model and settings of its own: leave them out')
  }
  const assistant = await service.assistants.get(call.tenant, name)
  if (assistant === null) throw new CorralError('assistant_not_found', `no assistant ${name.slice(0, 128)}: see GET /rag/assistants`)
  const { collections, model, prompt, settings } = assistant
  const said = conversationOf(body)
  const instructions = [prompt, body.instructions, said.system].filter((text) => text.trim() !== '').join('\n\n')
  const common = {
    collections,
    model,
    instructions,
    settings,
    options: {},
    access: '',
    headers: request.headers,
    route: request.route.pattern,
  }
  return { asked: { ...common, question: said.question, history: said.history }, shownModel: assistant.name }
}

function conversationOf({ question, messages }: ChatBody): {
  readonly question: string
  readonly history: readonly Turn[]
  readonly system: string
} {
  if ((question === undefined) === (messages === undefined)) {
    throw new CorralError('invalid_request', 'give a "question", or the conversation as "messages"')
  }
  if (messages === undefined) return { question: question ?? '', history: [], system: '' }
  const last = messages.findLastIndex(({ role, content }) => role === 'user' && content.trim() !== '')
  const asked = messages[last]
  if (asked === undefined) throw new CorralError('invalid_request', 'no message of the user holds a question')
  const history = messages.slice(0, last).flatMap(({ role, content }): Turn[] => (role === 'system' ? [] : [{ role, content }]))
  const system = messages
    .filter(({ role }) => role === 'system')
    .map(({ content }) => content)
    .join('\n\n')
  return { question: asked.content, history, system }
}
