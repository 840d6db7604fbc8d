/**
 * Where a create can succeed: on the nodes that hold what it is made of, the model of `from` and the blobs of `files` and
 * `adapters` (ollama-contract.md §8). Any other node would pull the model from the registry, or fail. Where nobody holds it all the
 * nodes give the exact answer.
 */
import type { Call } from '../../core/call.ts'
import type { InferenceRequest } from '../../core/relay.ts'
import type { Catalogue } from '../catalogue.ts'
import type { FleetNode } from '../node.ts'
import { hasBlob } from './blobs.ts'
import { readText, readTexts } from './request-fields.ts'

export interface CreateNodesDeps {
  readonly catalogue: Catalogue
  /** How long one node may take to say whether it has a blob, milliseconds. */
  readonly timeoutMs: number
}

/** Any other is refused by every node. */
const digestPattern = /^sha256[:-][0-9a-f]{64}$/

/** Those of `usable` that hold all that the create names, or all of `usable` where none does. Never rejects. */
export async function nodesForCreate(
  deps: CreateNodesDeps,
  request: InferenceRequest,
  { usable, call }: { readonly usable: readonly FleetNode[]; readonly call: Call },
): Promise<readonly FleetNode[]> {
  const from = readText(request, 'from')
  const holders = from === null ? usable : holdersAmong(deps, usable, { from, group: call.principal.nodeGroup })
  const named = [...readTexts(request, 'files'), ...readTexts(request, 'adapters')].filter((digest) => digestPattern.test(digest))
  // A body may name one file a million times.
  const digests = new Set(named)
  const complete = await Promise.all(holders.map((node) => hasBlobs(node, digests, { timeoutMs: deps.timeoutMs, call })))
  return orAll(
    holders.filter((_, index) => complete[index]),
    holders,
  )
}

function holdersAmong(
  { catalogue }: CreateNodesDeps,
  usable: readonly FleetNode[],
  { from, group }: { readonly from: string; readonly group: string | null },
): readonly FleetNode[] {
  const { holders } = catalogue.resolve(from, group)
  return orAll(
    usable.filter((node) => holders.includes(node)),
    usable,
  )
}

function orAll(nodes: readonly FleetNode[], all: readonly FleetNode[]): readonly FleetNode[] {
  return nodes.length > 0 ? nodes : all
}

/** One after the other, since a model in parts names hundreds; until the client leaves. */
async function hasBlobs(
  node: FleetNode,
  digests: ReadonlySet<string>,
  { timeoutMs, call }: { readonly timeoutMs: number; readonly call: Call },
): Promise<boolean> {
  for (const digest of digests) {
    if (call.signal.aborted || !(await hasBlob(node, `/api/blobs/${digest}`, timeoutMs))) return false
  }
  return true
}
