/**
 * `/api/generate` and `/api/chat`: decode, then `inference.ts`. Cloud models and debug rendering branch off here.
 */
import type { Answer } from './answer.ts'
import { refuseCloud } from './cloud-routes.ts'
import type { NodeContext } from './context.ts'
import { checkTemplate } from './template-check.ts'
import { bodyModel, renderPrompt, runInference } from './inference.ts'
import type { InferenceRequest } from './inference-request.ts'
import { decodeBody, type Decoded } from './json-shape.ts'
import { textOf, writeJson, type JsonObject } from './json-value.ts'
import { isCloudName, parseModelName } from './model-name.ts'
import { NativeReply } from './reply-native.ts'
import { nativeError, timestamp } from './reply.ts'
import { chatShape, generateShape } from './request-shapes.ts'

const jsonType = 'application/json; charset=utf-8'

/** A JSON answer of Ollama's own routes. */
export function sendJson(answer: Answer, status: number, body: JsonObject): void {
  answer.whole(status, writeJson(body), jsonType)
}

/** An error of Ollama's own routes. */
export function sendError(answer: Answer, status: number, message: string): void {
  sendJson(answer, status, nativeError(message))
}

/** The decoded body; null when it was refused here. */
export function decodedOr400(answer: Answer, decoded: Decoded): JsonObject | null {
  if ('value' in decoded) return decoded.value
  sendError(answer, 400, decoded.empty ? 'missing request body' : decoded.error)
  return null
}

function nativeInference(context: NodeContext, answer: Answer, request: InferenceRequest): void {
  const { body, kind, model } = request
  if (isCloudName(model) && !model.endsWith(':local:cloud'))
    return refuseCloud(context, answer, { method: 'POST', path: `/api/${kind}`, subject: 'remote model' })
  const templateProblem = checkTemplate(textOf(body['template']))
  if (templateProblem !== null) return sendError(answer, 500, templateProblem)
  if (body['_debug_render_only'] === true) return debugRender(context, answer, request)
  const reply = new NativeReply(answer, { route: kind, model, stream: body['stream'] !== false, ticker: context.ticker })
  runInference(context, request, reply)
}

function debugRender(context: NodeContext, answer: Answer, request: InferenceRequest): void {
  const parsed = parseModelName(request.model)
  const model = parsed === null ? null : context.store.get(parsed)
  if (model === null) return sendError(answer, 404, `model '${request.model}' not found`)
  const { ticker } = context
  sendJson(answer, 200, {
    model: request.model,
    created_at: timestamp(ticker.clock.wallMs(), ticker.nowMs()),
    ...(request.kind === 'chat' ? { message: { role: '', content: '' } } : { response: '' }),
    done: false,
    _debug_info: { rendered_template: renderPrompt(request, model) },
  })
}

export function generate(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, generateShape))
  if (body !== null) nativeInference(context, answer, { kind: 'generate', model: bodyModel(body), body })
}

export function chat(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, chatShape))
  if (body !== null) nativeInference(context, answer, { kind: 'chat', model: bodyModel(body), body })
}
