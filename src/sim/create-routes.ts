/**
 * `/api/create`: variants of a model that exists, or a model of an uploaded file. What a template contains decides which
 * capabilities the new model has, as in the real server.
 */
import type { Answer } from './answer.ts'
import { lookupFailure } from './cloud-routes.ts'
import type { NodeContext } from './context.ts'
import { bodyModel } from './inference.ts'
import { humanCount, isGguf, readGguf } from './gguf.ts'
import { decodeBody } from './json-shape.ts'
import { listOf, objectOf, textOf, type JsonObject } from './json-value.ts'
import { sha256, type Capability, type SimModel } from './model.ts'
import { parseModelName, type ModelName } from './model-name.ts'
import { decodedOr400, sendError } from './native-routes.ts'
import { Progress } from './progress.ts'
import { createShape } from './request-shapes.ts'
import { checkTemplate } from './template-check.ts'
import { plainTemplate, type StoredModel } from './store.ts'

export function create(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, createShape))
  if (body === null) return
  const name = parseModelName(bodyModel(body))
  if (name === null) return sendError(answer, 400, 'invalid model name')
  const progress = new Progress(answer, context.ticker, body['stream'] !== false)
  const files = Object.entries(objectOf(body['files']))
  const from = textOf(body['from'])
  if (from !== '') return createFrom(context, progress, { name, body, from })
  const file = files[0]
  if (file === undefined) return progress.fail("neither 'from' or 'files' was specified", 400)
  createFromFile(context, progress, { name, body, blob: textOf(file[1]).replace(/^sha256:/, '') })
}

function createFrom(context: NodeContext, progress: Progress, wish: { name: ModelName; body: JsonObject; from: string }): void {
  const source = parseModelName(wish.from)
  const base = source === null ? null : context.store.get(source)
  if (source === null) return progress.fail('invalid model name', 400)
  if (base === null) {
    progress.line({ status: 'pulling manifest' })
    const url = `https://${source.host}/v2/${source.namespace}/${source.model}/manifests/${source.tag}`
    return progress.fail(`pull model manifest: Get "${url}": ${lookupFailure(context, source.host)}`)
  }
  finish(context, progress, { name: wish.name, body: wish.body, base, parent: base.name })
}

function createFromFile(context: NodeContext, progress: Progress, wish: { name: ModelName; body: JsonObject; blob: string }): void {
  progress.line({ status: 'parsing GGUF' })
  const blob = context.store.blobs.get(wish.blob)
  if (blob === undefined) {
    return progress.fail(`open ${context.settings.modelsDir}/blobs/sha256-${wish.blob}: no such file or directory`)
  }
  if (!isGguf(blob.head)) return progress.fail('supplied file was not in GGUF format')
  const header = readGguf(blob.head)
  const facts: SimModel = {
    name: wish.name.display,
    sizeBytes: blob.sizeBytes,
    family: header.architecture,
    parameterSize: humanCount(header.parameterCount),
    quantization: 'unknown',
    contextLength: header.contextLength,
    embeddingLength: header.embeddingLength,
    capabilities: ['completion'],
    loadMs: 200,
    ...(header.loadError === null ? {} : { loadError: header.loadError }),
  }
  const base: StoredModel = {
    name: wish.name.display,
    parsed: wish.name,
    facts,
    digest: '',
    blob: wish.blob,
    modifiedAtMs: 0,
    parentModel: '',
    parameters: new Map(),
    template: plainTemplate,
    system: '',
    license: '',
    messages: [],
  }
  finish(context, progress, { name: wish.name, body: wish.body, base, parent: '' })
}

function finish(
  context: NodeContext,
  progress: Progress,
  wish: { name: ModelName; body: JsonObject; base: StoredModel; parent: string },
): void {
  const { name, body, base } = wish
  const template = textOf(body['template'])
  const problem = checkTemplate(template)
  if (problem !== null) return progress.fail(`template error: ${problem}`, 400)
  const parameters = new Map(base.parameters)
  for (const [key, value] of Object.entries(objectOf(body['parameters']))) parameters.set(key, value)
  const made: StoredModel = {
    ...base,
    name: name.display,
    parsed: name,
    parentModel: wish.parent,
    parameters,
    modifiedAtMs: context.ticker.clock.wallMs(),
    template: template === '' ? base.template : template,
    system: textOf(body['system'], base.system),
    license: Array.isArray(body['license'])
      ? listOf(body['license'])
          .map((text) => textOf(text))
          .join('\n')
      : textOf(body['license'], base.license),
    messages: body['messages'] === undefined ? base.messages : listOf(body['messages']).map(messageOf),
    facts: template === '' ? base.facts : { ...base.facts, capabilities: capabilitiesOf(base, template) },
  }
  const stored = {
    ...made,
    digest: sha256(JSON.stringify([made.blob, made.template, made.system, [...parameters], made.license, made.messages])),
  }
  for (const line of wish.parent === '' ? fileLines(base) : layerLines(base, body)) progress.line({ status: line })
  progress.line({ status: 'writing manifest' })
  context.store.put(stored)
  progress.success()
}

function messageOf(value: unknown): { role: string; content: string } {
  const message = typeof value === 'object' && value !== null ? value : {}
  return { role: 'role' in message ? String(message.role) : '', content: 'content' in message ? String(message.content) : '' }
}

function capabilitiesOf(base: StoredModel, template: string): Capability[] {
  const kept: Capability[] = base.facts.capabilities.filter((one) => one !== 'tools' && one !== 'thinking' && one !== 'insert')
  if (/\.Tools\b/.test(template)) kept.push('tools')
  if (/\.Suffix\b/.test(template)) kept.push('insert')
  if (/\.Thinking\b/.test(template)) kept.push('thinking')
  return kept
}

/** What the server says of a model made from a file. */
function fileLines(base: StoredModel): string[] {
  return ['verifying conversion', `creating new layer sha256:${base.blob}`]
}

/** What the server says of each layer, in its order. */
function layerLines(base: StoredModel, body: JsonObject): string[] {
  const existing = (text: string): string => `using existing layer sha256:${text}`
  const fresh = (text: string): string => `creating new layer sha256:${sha256(text)}`
  const lines = [existing(base.blob)]
  const template = textOf(body['template'])
  if (template !== '') lines.push(fresh(`template ${template}`))
  else lines.push(existing(sha256(`template ${base.template}`)))
  if (textOf(body['system']) !== '') lines.push(fresh(`system ${textOf(body['system'])}`))
  if (body['license'] !== undefined) lines.push(fresh(`license ${JSON.stringify(body['license'])}`))
  if (base.parameters.size > 0 || body['parameters'] !== undefined) {
    lines.push(
      body['parameters'] === undefined ? existing(sha256(JSON.stringify([...base.parameters]))) : fresh(JSON.stringify(body['parameters'])),
    )
  }
  if (body['messages'] !== undefined) lines.push(fresh(JSON.stringify(body['messages'])))
  return lines
}
