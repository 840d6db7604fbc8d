/**
 * What a load would push out of a node's memory, and what that costs the users of the models pushed out. Plain data in,
 * plain data out; admission fills it from what a gateway knows: `/api/ps` (sizes), the loads it measured, how often each
 * model is asked for, and where else it is in memory. Ollama makes room by unloading idle models, the one idle longest
 * first, until the new one fits; a busy model is waited for.
 */

/** One model in the node's memory. */
export interface LoadedModel {
  readonly vramBytes: number
  /** Requests of this model under way on this node. */
  readonly inFlight: number
  /** Milliseconds since its last request here ended; 0 while busy. */
  readonly idleMs: number
  /** Milliseconds until its requests under way here are expected to end; 0 when idle. */
  readonly busyMs: number
  /** How often the whole fleet is asked for this model, per millisecond. */
  readonly wantedPerMs: number
  /** Milliseconds it would take to load it here again. */
  readonly loadMs: number
  /** Other nodes that hold it in memory. */
  readonly warmElsewhere: number
}

export interface EvictionCase {
  readonly loaded: readonly LoadedModel[]
  /** Memory the new model needs. */
  readonly needBytes: number
  /** Memory models may fill on this node; see `MemoryBounds`. Infinity when unknown. */
  readonly capacityBytes: number
  /** Models the node keeps at most (`OLLAMA_MAX_LOADED_MODELS`). Infinity when unknown. */
  readonly loadedMax: number
}

export interface EvictionPrice {
  /** Expected harm to users of the evicted models. */
  readonly priceMs: number
  /** Time until the last of them is idle. */
  readonly waitMs: number
}

/**
 * "Soon": as far ahead as a load now can be blamed for a reload later. Longer than a conversation's pauses, shorter than
 * Ollama's keep-alive of five minutes, after which an idle model is gone anyway.
 */
const soonMs = 180_000

const free: EvictionPrice = { priceMs: 0, waitMs: 0 }

export function evictionPrice({ loaded, needBytes, capacityBytes, loadedMax }: EvictionCase): EvictionPrice {
  let usedBytes = 0
  for (const model of loaded) usedBytes += model.vramBytes
  let count = loaded.length
  if (count < loadedMax && usedBytes + needBytes <= capacityBytes) return free
  let priceMs = 0
  let waitMs = 0
  for (const victim of loaded.toSorted(byEvictionOrder)) {
    if (count < loadedMax && usedBytes + needBytes <= capacityBytes) break
    priceMs += harmMs(victim)
    waitMs = Math.max(waitMs, victim.busyMs)
    usedBytes -= victim.vramBytes
    count -= 1
  }
  return { priceMs, waitMs }
}

/** Chance that it is wanted soon × its load time, shared with the other copies that could answer instead. */
function harmMs(victim: LoadedModel): number {
  const wantedSoon = 1 - Math.exp(-victim.wantedPerMs * soonMs)
  return (wantedSoon * victim.loadMs) / (1 + victim.warmElsewhere)
}

function byEvictionOrder(a: LoadedModel, b: LoadedModel): number {
  return a.busyMs - b.busyMs || b.idleMs - a.idleMs
}
