/**
 * Holds a caller to the models its credential allows: the relay layer outside of caches, limits and nodes. A restricted caller is
 * refused what names no model or a second one, and sees lists without the models it may not use. A caller without an allow-list costs
 * one comparison.
 */
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, RelayLayer } from '../core/relay.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { covers } from './grants.ts'

/** Refuses with `model_not_allowed`. */
export const modelAccess: RelayLayer = (next) => (request, call) => {
  const { models } = call.principal
  if (models === null) return next(request, call)
  const refusal = refuse(request, models)
  if (refusal !== null) return Promise.reject(refusal)
  if (request.route.operation !== 'list') return next(request, call)
  return next(request, call).then((answer) => cutList(answer, models))
}

/** Fields by which a change to models names another one than its own. */
const otherModelFields = ['from', 'source', 'destination']

function isAllowed(name: string, models: readonly string[]): boolean {
  const canonical = canonicalModelName(name)
  return models.some((pattern) => covers(pattern, canonical))
}

function refuse({ route, model, envelope }: InferenceRequest, models: readonly string[]): CorralError | null {
  if (route.operation === 'list') return null
  if (model === null) return new CorralError('model_not_allowed', 'this credential is for certain models only, and the request names none')
  if (route.operation === 'manage' && otherModelFields.some((name) => envelope.fields.has(name))) {
    return new CorralError('model_not_allowed', 'this credential is for certain models only, and the request names a second one')
  }
  return isAllowed(model, models)
    ? null
    : new CorralError('model_not_allowed', `this credential does not allow the model ${model.slice(0, 200)}`)
}

/** The list without what is not allowed; an answer of another shape as it is, since it names no models. */
function cutList(answer: Answer, models: readonly string[]): Answer {
  if (answer.kind !== 'whole' || answer.status !== 200) return answer
  const text = answer.body.toString()
  const list = parseList(text)
  if (list === null) return answer
  const rows = list.rows.filter((row) => row !== null && typeof row === 'object' && isAllowed(nameOf(row), models))
  const body = Buffer.from(JSON.stringify({ ...list.whole, [list.field]: rows }) + (text.endsWith('\n') ? '\n' : ''))
  return { ...answer, body, outcome: { ...answer.outcome, bytes: body.length } }
}

interface List {
  readonly whole: object
  readonly field: 'models' | 'data'
  readonly rows: readonly unknown[]
}

function parseList(text: string): List | null {
  const whole: unknown = JSON.parse(text)
  if (typeof whole !== 'object' || whole === null) return null
  if ('models' in whole && Array.isArray(whole.models)) return { whole, field: 'models', rows: whole.models }
  if ('data' in whole && Array.isArray(whole.data)) return { whole, field: 'data', rows: whole.data }
  return null
}

function nameOf(row: object): string {
  if ('name' in row && typeof row.name === 'string') return row.name
  return 'id' in row && typeof row.id === 'string' ? row.id : ''
}
