/** Assistants among the models: rows in `/api/tags` and `/v1/models`, and one of them asked for by name. */
import { createHash } from 'node:crypto'

import type { Assistant } from '../core/assistant.ts'
import type { Answer, WholeAnswer } from '../core/relay.ts'
import { canonicalModelName } from '../wire/model-name.ts'

/** The list with a row for each assistant; an answer of another shape as it is. Their rows come first and hide models of the same name. */
export function withAssistants(answer: Answer, assistants: readonly Assistant[], isTags: boolean): Answer {
  if (answer.kind !== 'whole' || answer.status !== 200 || assistants.length === 0) return answer
  const text = answer.body.toString()
  const list = parseObject(text)
  const rows = list === null ? undefined : isTags ? list.models : list.data
  if (list === null || !(Array.isArray(rows) || rows === null)) return answer
  const own = assistants.map(isTags ? tagRow : modelRow)
  const names = new Set(assistants.map(({ name }) => canonicalModelName(name)))
  const others = (rows ?? []).filter((row: unknown) => !names.has(canonicalModelName(nameOf(row))))
  return withBody(
    answer,
    JSON.stringify({ ...list, [isTags ? 'models' : 'data']: [...own, ...others] }) + (text.endsWith('\n') ? '\n' : ''),
  )
}

/** `GET /v1/models/{name}` of an assistant. */
export function modelObject(assistant: Assistant): string {
  return `${JSON.stringify(modelRow(assistant))}\n`
}

function withBody(answer: WholeAnswer, text: string): WholeAnswer {
  const body = Buffer.from(text)
  return { ...answer, body, outcome: { ...answer.outcome, bytes: body.length } }
}

function tagged({ name }: Assistant): string {
  return name.includes(':') ? name : `${name}:latest`
}

function tagRow(assistant: Assistant): object {
  const name = tagged(assistant)
  const digest = createHash('sha256')
    .update(JSON.stringify([assistant.tenant, name, assistant.revision, assistant.createdAtMs]))
    .digest('hex')
  const details = {
    parent_model: assistant.model,
    format: '',
    family: 'assistant',
    families: ['assistant'],
    parameter_size: '',
    quantization_level: '',
  }
  return { name, model: name, modified_at: new Date(assistant.updatedAtMs).toISOString(), size: 0, digest, details }
}

function modelRow(assistant: Assistant): object {
  return { id: tagged(assistant), object: 'model', created: Math.floor(assistant.createdAtMs / 1_000), owned_by: 'corral' }
}

function nameOf(row: unknown): string {
  if (typeof row !== 'object' || row === null) return ''
  const name: unknown = Reflect.get(row, 'name') ?? Reflect.get(row, 'id')
  return typeof name === 'string' ? name : ''
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}
