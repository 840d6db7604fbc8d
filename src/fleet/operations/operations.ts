/**
 * What a fleet does beyond asking one node: lists, copies, deletes, pulls, uploads, unloads, and which node stands for all
 * where only one identity can (ollama-contract.md §3). Each is a relay for one placement of the route table.
 */
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { InferenceRequest, Relay, RelayLayer, WholeAnswer } from '../../core/relay.ts'
import { unloads } from '../../wire/keep-alive.ts'
import { isCloudModel } from '../../wire/model-name.ts'
import type { Catalogue } from '../catalogue.ts'
import { type FleetNode, runnerModelOn } from '../node.ts'
import type { NodeUse } from '../runner.ts'
import { unloadModel } from '../unload.ts'
import { usableNodes } from './answers.ts'
import { type BlobUpload, createBlobHead, uploadBlob } from './blobs.ts'
import { createBroadcast, mergeResults, sendToAll } from './broadcast.ts'
import { createLists, type ListDeps } from './lists.ts'
import { readText } from './request-fields.ts'
import { createTargets } from './targets.ts'

export interface OperationDeps extends ListDeps {
  /** The dispatcher. */
  readonly one: Relay
  readonly use: (node: FleetNode) => NodeUse
  /** An upload failed on a node while others have it. */
  readonly onPartFailed: (node: string, reason: string) => void
}

export interface Operations {
  readonly one: Relay
  readonly aggregate: Relay
  readonly broadcast: Relay
  readonly targets: Relay
  readonly pinned: Relay
  readonly blob: Relay
  uploadBlob(upload: BlobUpload, call: Call): Promise<WholeAnswer>
  /** Has the nodes of these names let go of the model (canonical name). Never rejects. */
  letGo(model: string, nodes: ReadonlySet<string>): Promise<void>
}

export function createOperations(deps: OperationDeps): Operations {
  return {
    one: createOne(deps),
    aggregate: createLists(deps),
    broadcast: createBroadcast(deps),
    targets: createTargets(deps),
    pinned: (request, call) => deps.one({ ...request, avoid: allBut(deps, pinnedNode(deps, request, call)) }, call),
    blob: createBlobHead(deps),
    uploadBlob: (upload, call) => uploadBlob(deps, upload, call),
    letGo: (model, nodes) => letGo(deps, model, nodes),
  }
}

/**
 * Refuses models that a node would run at ollama.com, by their names, by what their aliases lead to and by the nodes' lists: a
 * name must not move data off the premises (reliability-security.md §0.15). Throws `cloud_model_blocked`.
 */
export function refuseCloud(request: InferenceRequest, catalogue: Catalogue): void {
  const isRemote = (name: string): boolean => isCloudModel(name) || isElsewhere(request, catalogue, name)
  if (!namesOf(request).some(isRemote)) return
  const message = 'ollama cloud is disabled: remote model is unavailable (set fleet.cloudModels to allow it)'
  throw new CorralError('cloud_model_blocked', message)
}

/** A model that is elsewhere under a plain name can be deleted: that is how to be rid of it. */
function isElsewhere({ route }: InferenceRequest, catalogue: Catalogue, name: string): boolean {
  return route.pattern !== '/api/delete' && catalogue.resolve(name).remote
}

/** Every model that the request names: what it asks for, and what a create or copy starts from. */
function namesOf(request: InferenceRequest): readonly string[] {
  const { model, route } = request
  const names = model === null ? [] : [model]
  if (route.operation !== 'manage') return names
  for (const key of ['from', 'source']) {
    const name = readText(request, key)
    if (name !== null) names.push(name)
  }
  return names
}

/** The relay layer that refuses changes to what the nodes hold while `allowed` says no. */
export function manageable(allowed: () => boolean): RelayLayer {
  return (next) => (request, call) => {
    const changes = request.route.operation === 'manage' && request.method !== 'HEAD'
    if (changes && !allowed()) throw new CorralError('operation_disabled', 'model operations are switched off (features.modelOperations)')
    return next(request, call)
  }
}

function createOne(deps: OperationDeps): Relay {
  return (request, call) => {
    if (isUnload(request)) return unload(deps, request, call)
    // Facts about a model come from a node that has it; they need no place in its runner.
    if (request.route.operation === 'show') return deps.one({ ...request, avoid: nonHolders(deps, request, call) }, call)
    return deps.one(request, call)
  }
}

/** An empty native request with `keep_alive: 0` unloads the model. */
function isUnload({ route, envelope, model }: InferenceRequest): boolean {
  const asks = route.operation === 'chat' || route.operation === 'generate' || route.operation === 'embed'
  return asks && model !== null && envelope.empty && unloads({ route, envelope })
}

/** Unloads everywhere the model is, or answers as one node would where it is nowhere. */
async function unload(deps: OperationDeps, request: InferenceRequest, call: Call): Promise<WholeAnswer> {
  const { name } = deps.catalogue.resolve(request.model ?? '')
  const usable = usableNodes(deps.nodes(), call.principal.nodeGroup)
  const holders = usable.filter((node) => node.models.has(name))
  const nodes = holders.length > 0 ? holders : usable.slice(0, 1)
  const answer = mergeResults(call, await sendToAll(request, nodes, deps.options().operations.timeoutMs), 'unload')
  noteUnloaded(deps, name, nodes)
  return answer
}

async function letGo(deps: OperationDeps, model: string, names: ReadonlySet<string>): Promise<void> {
  const nodes = deps.nodes().filter(({ name }) => names.has(name))
  const { timeoutMs } = deps.options().operations
  await Promise.all(nodes.map((node) => unloadModel(node, model, timeoutMs)))
  noteUnloaded(deps, model, nodes)
}

function noteUnloaded(deps: OperationDeps, model: string, nodes: readonly FleetNode[]): void {
  for (const node of nodes) {
    const runner = deps.use(node).find(runnerModelOn(node, model))
    if (runner !== null) runner.lastServedMs = -Infinity
    void deps.prober.refreshLoaded(node)
  }
}

/** Empty when nobody whom the caller may ask holds the model: any of them then gives the exact error. */
function nonHolders({ catalogue, nodes }: OperationDeps, request: InferenceRequest, call: Call): readonly string[] {
  const holders = request.model === null ? [] : catalogue.resolve(request.model, call.principal.nodeGroup).holders
  if (holders.length === 0) return []
  return nodes()
    .filter((node) => !holders.includes(node))
    .map(({ name }) => name)
}

/** The node whose identity at ollama.com is used: the first one, or for a push the first that holds the model. */
function pinnedNode({ catalogue, nodes }: OperationDeps, request: InferenceRequest, call: Call): FleetNode | null {
  const usable = usableNodes(nodes(), call.principal.nodeGroup)
  const holders = request.model === null ? [] : catalogue.resolve(request.model, call.principal.nodeGroup).holders
  return usable.find((node) => holders.includes(node)) ?? usable[0] ?? null
}

function allBut({ nodes }: OperationDeps, chosen: FleetNode | null): readonly string[] {
  return nodes()
    .filter((node) => node !== chosen)
    .map(({ name }) => name)
}
