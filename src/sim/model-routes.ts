/**
 * Lists, `show`, `copy`, `delete` and `/v1/models`.
 */
import type { Answer } from './answer.ts'
import { refuseCloud } from './cloud-routes.ts'
import type { NodeContext } from './context.ts'
import { sha256 } from './model.ts'
import { bodyModel } from './inference.ts'
import { decodeBody } from './json-shape.ts'
import { textOf, writeJson, type JsonObject } from './json-value.ts'
import { details, isoTime, modelfile, modelInfo, parameterText, tagEntry, tensors } from './model-info.ts'
import { isCloudName, parseModelName } from './model-name.ts'
import { decodedOr400, sendError, sendJson } from './native-routes.ts'
import { openAiError } from './reply-openai.ts'
import { copyShape, nameShape } from './request-shapes.ts'
import type { StoredModel } from './store.ts'

export function tags(context: NodeContext, answer: Answer): void {
  const drift = context.faults.takeKind('digest-drift', '/api/tags') !== null
  const models = context.store
    .list()
    .map((model) => tagEntry(model, drift ? sha256(`drift ${context.settings.name} ${model.digest}`) : model.digest))
  sendJson(answer, 200, { models })
}

export function ps(context: NodeContext, answer: Answer): void {
  const waitMs = context.psBlockedUntilMs - context.ticker.nowMs()
  if (waitMs > 0) context.ticker.after(waitMs, () => sendPs(context, answer))
  else sendPs(context, answer)
}

function sendPs(context: NodeContext, answer: Answer): void {
  const { ticker, settings } = context
  const nowMs = ticker.nowMs()
  const models = context.scheduler.list().map((loaded) => {
    const { model, sizeBytes } = loaded
    const ageMs = Number.isFinite(loaded.expiresAtMs) ? loaded.expiresAtMs - nowMs : 9_223_372_036_854
    return {
      name: model.name,
      model: model.name,
      size: sizeBytes,
      digest: model.digest,
      details: details(model),
      expires_at: isoTime(ticker.clock.wallMs() + ageMs),
      size_vram: settings.vramBytes === 0 ? 0 : Math.min(sizeBytes, settings.vramBytes),
      context_length: loaded.options.numCtx,
    }
  })
  sendJson(answer, 200, { models })
}

/** The model of a body with `model` or `name`; null when it was refused here. */
function namedModel(context: NodeContext, answer: Answer, body: JsonObject): StoredModel | null {
  const name = bodyModel(body)
  if (name === '') {
    sendError(answer, 400, 'model is required')
    return null
  }
  const parsed = parseModelName(name)
  if (parsed === null) {
    sendError(answer, 400, 'invalid model name')
    return null
  }
  const model = context.store.get(parsed)
  if (model === null) sendError(answer, 404, `model '${parsed.display}' not found`)
  return model
}

export function show(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, nameShape))
  if (body === null) return
  if (isCloudName(bodyModel(body))) return refuseCloud(context, answer, { method: 'POST', path: '/api/show', subject: 'remote model' })
  const model = namedModel(context, answer, body)
  if (model === null) return
  const shown: JsonObject = {}
  if (model.license !== '') shown['license'] = model.license
  shown['modelfile'] = modelfile(model, context.settings.modelsDir)
  if (model.parameters.size > 0) shown['parameters'] = parameterText(model)
  shown['template'] = model.template
  if (model.system !== '') shown['system'] = model.system
  shown['details'] = details(model)
  if (model.messages.length > 0) shown['messages'] = model.messages.map((message) => ({ ...message }))
  const info = modelInfo(model, body['verbose'] === true)
  if (answer.request.headers['user-agent']?.startsWith('GitHubCopilotChat') === true) info['general.basename'] = bodyModel(body)
  shown['model_info'] = info
  shown['tensors'] = tensors(model)
  shown['capabilities'] = [...model.facts.capabilities]
  shown['modified_at'] = isoTime(model.modifiedAtMs)
  sendJson(answer, 200, shown)
}

export function copy(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, copyShape))
  if (body === null) return
  const source = textOf(body['source'])
  const destination = textOf(body['destination'])
  const from = parseModelName(source)
  const to = parseModelName(destination)
  if (from === null) return sendError(answer, 400, `source ${JSON.stringify(source)} is invalid`)
  if (to === null) return sendError(answer, 400, `destination ${JSON.stringify(destination)} is invalid`)
  const model = context.store.get(from)
  if (model === null) return sendError(answer, 404, `model ${JSON.stringify(source)} not found`)
  context.store.put({ ...model, name: to.display, parsed: to, modifiedAtMs: context.ticker.clock.wallMs() })
  answer.whole(200, null, null)
}

export function remove(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, nameShape))
  if (body === null) return
  const name = bodyModel(body)
  if (name === '') return sendError(answer, 400, 'model is required')
  const parsed = parseModelName(name)
  if (parsed === null) return sendError(answer, 400, `name ${JSON.stringify(name)} is invalid`)
  const model = context.store.get(parsed)
  if (model === null) return sendError(answer, 404, `model '${name}' not found`)
  context.store.remove(model)
  answer.whole(200, null, null)
}

function openAiModel(model: StoredModel): JsonObject {
  return { id: model.name, object: 'model', created: Math.floor(model.modifiedAtMs / 1_000), owned_by: model.parsed.namespace }
}

export function openAiModels(context: NodeContext, answer: Answer): void {
  const data = context.store.list().map(openAiModel)
  answer.whole(200, `${writeJson({ object: 'list', data: data.length === 0 ? null : data })}\n`, 'application/json')
}

export function openAiModelByName(context: NodeContext, answer: Answer): void {
  const name = answer.parameter
  if (isCloudName(name)) {
    const path = `/v1/models/${name.replace(/(:cloud|-cloud)$/i, '')}`
    return refuseCloud(context, answer, { method: 'GET', path, subject: 'remote model' })
  }
  const parsed = parseModelName(name)
  const model = parsed === null ? null : context.store.get(parsed)
  if (model !== null) return answer.whole(200, `${writeJson(openAiModel(model))}\n`, 'application/json')
  answer.whole(404, `${openAiError(404, `model '${parsed?.display ?? name}' not found`)}\n`, 'application/json')
}

export function version(context: NodeContext, answer: Answer): void {
  sendJson(answer, 200, { version: context.settings.version })
}

export function status(context: NodeContext, answer: Answer): void {
  sendJson(answer, 200, {
    cloud: { disabled: context.settings.cloud === 'disabled', source: context.settings.cloud === 'disabled' ? 'env' : 'none' },
  })
}
