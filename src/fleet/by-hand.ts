/**
 * Nodes that an operator added or took out while the process runs. They outlive a reload, which is often made for something
 * else, until the file itself says something new of the node: names one that was added, by name or URL, or changes one that
 * was taken out. A restart forgets them.
 */
import type { NodeOptions } from './options.ts'

/** What operators changed of a fleet since its process started. */
export interface FleetByHand {
  readonly added: readonly NodeOptions[]
  readonly removed: readonly NodeOptions[]
  /** Names of the nodes that are drained. */
  readonly draining: readonly string[]
}

export class ChangesByHand {
  #added: readonly NodeOptions[] = []
  #removed: readonly NodeOptions[] = []

  get added(): readonly NodeOptions[] {
    return this.#added
  }

  get removed(): readonly NodeOptions[] {
    return this.#removed
  }

  /** Takes the place of what was noted so far. */
  replace({ added, removed }: Pick<FleetByHand, 'added' | 'removed'>): void {
    this.#added = added
    this.#removed = removed
  }

  noteAdded(options: NodeOptions): void {
    this.#removed = this.#removed.filter((other) => !isSameNode(options, other))
    this.#added = [...this.#added, options]
  }

  noteRemoved(options: NodeOptions): void {
    const isAdded = this.#added.includes(options)
    if (isAdded) this.#added = this.#added.filter((other) => other !== options)
    else this.#removed = [...this.#removed, options]
  }

  /** The nodes of a file's list with the changes on top. */
  over(listed: readonly NodeOptions[]): readonly NodeOptions[] {
    const kept = listed.filter((options) => !this.#removed.some((other) => isEqual(options, other)))
    return [...kept, ...this.#addedBeside(listed)]
  }

  /** Forgets the changes that a list, now in force, has overtaken. */
  follow(listed: readonly NodeOptions[]): void {
    this.#added = this.#addedBeside(listed)
    this.#removed = this.#removed.filter((options) => listed.some((other) => isEqual(options, other)))
  }

  #addedBeside(listed: readonly NodeOptions[]): readonly NodeOptions[] {
    return this.#added.filter((options) => !listed.some((other) => isSameNode(options, other)))
  }
}

/** What a node is called that was given no name. */
export function nodeNameOf({ name, url }: NodeOptions): string {
  return name ?? new URL(url).host
}

/** Whether both are the same to the byte, so that a node need not begin anew. */
export function isEqual(a: NodeOptions, b: NodeOptions): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function isSameNode(a: NodeOptions, b: NodeOptions): boolean {
  return a.url === b.url || nodeNameOf(a) === nodeNameOf(b)
}
