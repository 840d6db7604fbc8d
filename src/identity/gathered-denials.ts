/**
 * Denials between two writes of the audit log: equal ones are one entry with a count, and the kinds have a bound, beyond which the rest
 * is one entry that names nobody. So a flood costs few rows.
 */
/** One thing that happened. */
export interface AuditEntry {
  readonly tenant: string
  /** Key id, hashed subject, or a word such as `anonymous`. */
  readonly actor: string
  readonly action: string
  /** What was acted on: a key id, a node's name, a route's pattern. */
  readonly target: string
  readonly decision: 'allowed' | 'denied'
  readonly requestId: string
  readonly address: string
}

/** An entry, when it happened first (ISO 8601), and how many alike it stands for. */
export interface Gathered {
  readonly entry: AuditEntry
  readonly at: string
  count: number
}

/** Kinds gathered between two writes. */
const kindsMax = 1_000
const overflow = 'overflow'

export class GatheredDenials {
  #gathered = new Map<string, Gathered>()

  add(entry: AuditEntry, at: string): void {
    const { tenant, actor, action, target, address } = entry
    const kind = [tenant, actor, action, target, address].join('\n')
    const isFull = this.#gathered.size >= kindsMax
    const known = this.#gathered.get(kind) ?? (isFull ? this.#gathered.get(overflow) : undefined)
    if (known !== undefined) {
      known.count += 1
      return
    }
    const kept = isFull ? { ...entry, actor: 'anonymous', target: 'more than can be listed', address: '' } : entry
    this.#gathered.set(isFull ? overflow : kind, { entry: kept, at, count: 1 })
  }

  /** What was gathered, no longer kept here. */
  take(): ReadonlyMap<string, Gathered> {
    const taken = this.#gathered
    this.#gathered = new Map()
    return taken
  }

  /** What was taken could not be written; it goes before what came since. */
  putBack(taken: ReadonlyMap<string, Gathered>): void {
    const merged = new Map(taken)
    for (const [kind, gathered] of this.#gathered) {
      const before = merged.get(kind)
      if (before !== undefined) before.count += gathered.count
      else if (merged.size <= kindsMax) merged.set(kind, gathered)
    }
    this.#gathered = merged
  }
}
