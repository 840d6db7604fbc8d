/**
 * `pull` and `push` against a registry that exists only in the node's settings: names it lists can be fetched, any other
 * name is out of reach. Progress lines are paced by the entry's speed, the last one is `success`.
 */
import type { Answer } from './answer.ts'
import { lookupFailure } from './cloud-routes.ts'
import type { NodeContext, RegistryEntry } from './context.ts'
import { bodyModel } from './inference.ts'
import { decodeBody } from './json-shape.ts'
import type { JsonObject } from './json-value.ts'
import { sha256 } from './model.ts'
import { fullName, parseModelName, type ModelName } from './model-name.ts'
import { decodedOr400, sendError } from './native-routes.ts'
import { nameShape } from './request-shapes.ts'
import { Progress } from './progress.ts'
import type { StoredModel } from './store.ts'

const sampleMs = 60

interface Layer {
  readonly digest: string
  readonly totalBytes: number
}

/** How a layer travels. */
interface Way {
  readonly verb: 'pulling' | 'pushing'
  readonly speed: number
  readonly bytesPerMs: number
}

/** Layers of a model: weights first, then the small ones, the config last. */
export function layersOf(model: StoredModel): Layer[] {
  const small = (kind: string, totalBytes: number): Layer => ({ digest: sha256(`${kind} ${model.name}`), totalBytes })
  return [
    { digest: model.blob, totalBytes: Math.max(1, model.facts.sizeBytes - 500) },
    { digest: sha256(`template ${model.template}`), totalBytes: model.template.length },
    { digest: sha256(`parameters ${JSON.stringify([...model.parameters])}`), totalBytes: 45 },
    small('config', 455),
  ]
}

function layerLine(verb: string, layer: Layer, completed: number | null): JsonObject {
  const line: JsonObject = { status: `${verb} ${layer.digest.slice(0, 12)}`, digest: `sha256:${layer.digest}`, total: layer.totalBytes }
  if (completed !== null && completed > 0) line['completed'] = completed
  return line
}

/** Lines of the transfer of one layer. */
async function transfer(progress: Progress, layer: Layer, way: Way): Promise<void> {
  const stepBytes = Math.max(1, Math.floor(way.bytesPerMs * sampleMs))
  for (let sent = Math.min(stepBytes, layer.totalBytes); ; sent = Math.min(sent + stepBytes, layer.totalBytes)) {
    await progress.pause(sampleMs / way.speed)
    if (progress.over) return
    progress.line(layerLine(way.verb, layer, sent))
    if (sent >= layer.totalBytes) return
  }
}

function pace(context: NodeContext, entry: RegistryEntry): { speed: number; bytesPerMs: number } {
  return { speed: context.settings.speed, bytesPerMs: entry.bytesPerMs ?? 100_000 }
}

/** `call`: method and path below the model, e.g. `Get manifests/latest`. */
function unreachable(context: NodeContext, name: ModelName, call: string): string {
  const [verb, path] = call.split(' ')
  return `${verb ?? ''} "https://${name.host}/v2/${name.namespace}/${name.model}/${path ?? ''}": ${lookupFailure(context, name.host)}`
}

export function pull(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, nameShape))
  if (body === null) return
  const name = parseModelName(bodyModel(body))
  if (name === null) return sendError(answer, 400, 'invalid model name')
  const progress = new Progress(answer, context.ticker, body['stream'] !== false)
  void runPull(context, progress, name)
}

async function runPull(context: NodeContext, progress: Progress, name: ModelName): Promise<void> {
  progress.line({ status: 'pulling manifest' })
  const entry = context.settings.registry.get(name.key)
  const model = context.pullable.get(name.key)
  if (entry?.kind === 'absent') return progress.fail('pull model manifest: file does not exist')
  if (entry === undefined || model === undefined) {
    return progress.fail(`pull model manifest: ${unreachable(context, name, `Get manifests/${name.tag}`)}`)
  }
  const known = context.store.get(name) !== null
  for (const layer of layersOf(model)) {
    if (known) progress.line(layerLine('pulling', layer, layer.totalBytes))
    else if (layer.totalBytes > 100_000) await transfer(progress, layer, { verb: 'pulling', ...pace(context, entry) })
    else progress.line(layerLine('pulling', layer, layer.totalBytes))
    if (progress.over) return
  }
  progress.line({ status: 'verifying sha256 digest' })
  if (entry.kind === 'corrupt') return progress.fail(corruptText(model))
  progress.line({ status: 'writing manifest' })
  context.store.put({ ...model, modifiedAtMs: context.ticker.clock.wallMs() })
  progress.success()
}

function corruptText(model: StoredModel): string {
  return `digest mismatch, file must be downloaded again: want sha256:${model.blob}, got sha256:${sha256(`corrupt ${model.blob}`)}`
}

export function push(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decodedOr400(answer, decodeBody(bytes, nameShape))
  if (body === null) return
  const text = bodyModel(body)
  if (text === '') return sendError(answer, 400, 'model is required')
  const name = parseModelName(text)
  if (name === null) return sendError(answer, 400, 'invalid model name')
  const progress = new Progress(answer, context.ticker, body['stream'] !== false)
  void runPush(context, progress, name)
}

async function runPush(context: NodeContext, progress: Progress, name: ModelName): Promise<void> {
  progress.line({ status: 'retrieving manifest' })
  const model = context.store.get(name)
  if (model === null) {
    progress.line({ status: "couldn't retrieve manifest" })
    const path = fullName(name).replace(/:([^:]*)$/, '/$1')
    return progress.fail(`open ${context.settings.modelsDir}/manifests/${path}: no such file or directory`)
  }
  const entry: RegistryEntry | undefined = context.settings.registry.get(name.key)
  const layers = layersOf(model)
  const first = layers[0]
  if (entry === undefined) return progress.fail(unreachable(context, name, `Head blobs/sha256:${first?.digest ?? ''}`))
  for (const layer of layers) {
    if (!context.pushed.has(layer.digest) && layer.totalBytes > 100_000)
      await transfer(progress, layer, { verb: 'pushing', ...pace(context, entry) })
    else progress.line(layerLine('pushing', layer, layer.totalBytes))
    if (progress.over) return
    context.pushed.add(layer.digest)
  }
  progress.line({ status: 'pushing manifest' })
  progress.success()
}
