/**
 * Other names for models (`fleet.aliases`). A request by an alias goes on as one for the model behind it, and its answer says
 * the name that the client asked for: only the bytes of that name change, in both directions. Requests that change what nodes
 * hold are left alone: an alias is a name to ask by, there is nothing of it on a node to copy or delete.
 */
import { QueueView } from '../base/queue-view.ts'
import type { Answer, InferenceRequest, RelayLayer } from '../core/relay.ts'
import { findFormModel } from '../wire/form-model.ts'
import { createRenamer, type Renaming } from '../wire/model-in-answer.ts'
import { headerIn } from '../wire/request-headers.ts'
import { splice } from '../wire/splice.ts'
import { withField } from '../wire/with-field.ts'
import type { Catalogue } from './catalogue.ts'

/** The relay layer that stands between the names of clients and those of nodes. */
export function answerAliases(catalogue: Catalogue): RelayLayer {
  return (next) => (request, call) => {
    const alias = request.model === null ? undefined : catalogue.aliases.get(request.model)
    if (alias === undefined || request.route.operation === 'manage') return next(request, call)
    const asked = renameRequest(request, alias.model)
    return asked === null ? next(request, call) : next(asked.request, call).then((answer) => renameAnswer(answer, asked))
  }
}

interface Asked {
  readonly request: InferenceRequest
  /** From the node's name to the client's. */
  readonly renaming: Renaming
}

/** Null where the name stands in no JSON body, form or path. */
function renameRequest(request: InferenceRequest, model: string): Asked | null {
  const { envelope, route } = request
  const spelled = envelope.model
  if (spelled === null) return route.body === 'none' ? renamePath(request, model) : renameForm(request, model)
  const field = envelope.fields.get('model')
  const isNamed = field === undefined || field.kind !== 'string' || field.end - field.start <= '""'.length
  // What VS Code's client is shown of a model repeats the name it asked for.
  const key = route.operation === 'show' ? 'general.basename' : 'model'
  return {
    request: { ...withField(request, isNamed ? 'name' : 'model', JSON.stringify(model)), model },
    renaming: { key, from: model, to: spelled },
  }
}

function renameForm(request: InferenceRequest, model: string): Asked | null {
  const range = findFormModel(headerIn(request.headers, 'content-type'), request.body)
  if (range === null) return null
  const to = request.body.toString('utf8', range.start, range.end)
  return { request: { ...request, model, body: splice(request.body, range, model) }, renaming: { key: 'model', from: model, to } }
}

/** The last segment of the path is the name, and the answer's `id`. */
function renamePath(request: InferenceRequest, model: string): Asked {
  const { target } = request
  const query = target.indexOf('?')
  const end = query < 0 ? target.length : query
  const start = target.lastIndexOf('/', end) + 1
  const to = decodeURIComponent(target.slice(start, end))
  const renamed = target.slice(0, start) + encodeURIComponent(model) + target.slice(end)
  return { request: { ...request, model, target: renamed }, renaming: { key: 'id', from: model, to } }
}

function renameAnswer(answer: Answer, { request, renaming }: Asked): Answer {
  const rename = createRenamer(renaming)
  if (answer.kind === 'stream') {
    // Chunks of a route without frames may end within the name.
    if (request.route.framing === 'none') return answer
    return { ...answer, frames: new QueueView(answer.frames, { pass: rename }) }
  }
  const body = rename(answer.body)
  return { ...answer, body, outcome: { ...answer.outcome, bytes: body.length } }
}
