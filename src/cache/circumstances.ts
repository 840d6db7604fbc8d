/**
 * What decides an answer beside the request itself: the build of the model and the engine that run it, as the nodes have them that
 * may serve the caller. A caller held to a group of nodes shares with its group alone: digest, version and the context length
 * that a node's memory allows are all the group's.
 */
import type { Principal } from '../core/principal.ts'

export interface CircumstanceDeps {
  /** Digest of the build that would answer a caller of this group (null: of none); null when unknown, then nothing is cached. */
  readonly digestOf: (model: string, group: string | null) => string | null
  /** Changes whenever the engine may answer such a caller otherwise, e.g. Ollama's major and minor version. One line. */
  readonly engineEpoch: (model: string, group: string | null) => string
}

export interface Circumstances {
  readonly digest: string
  readonly engine: string
}

/** As they are now for `model`, a canonical name; null when its digest is unknown. */
export function circumstancesOf(deps: CircumstanceDeps, model: string, { nodeGroup }: Pick<Principal, 'nodeGroup'>): Circumstances | null {
  const digest = deps.digestOf(model, nodeGroup)
  if (digest === null) return null
  const engine = deps.engineEpoch(model, nodeGroup)
  return { digest, engine: nodeGroup === null ? engine : `${engine}\ngroup ${nodeGroup}` }
}
