/**
 * What an operator changed of the fleet's nodes while it runs, by the name of the node. A change stands over the file's list until the file
 * itself says something new of the node: names one that was added, by name or URL, or changes one that was taken out. So it outlives a
 * reload, which is often made for something else.
 */
import { type NodeOptions } from './options.ts'

/** `listed`: what the file said of a node of that name or URL when the change was made; null: nothing. */
export type NodeChange =
  | { readonly kind: 'added'; readonly node: NodeOptions; readonly listed: NodeOptions | null; readonly draining: boolean }
  | { readonly kind: 'removed'; readonly listed: NodeOptions }
  /** A node of the file gets no new requests. */
  | { readonly kind: 'drained' }

/** By the name of the node. */
export type NodeChanges = ReadonlyMap<string, NodeChange>

export class ChangesByHand {
  #changes: NodeChanges = new Map()
  /** The file's list. */
  #listed: readonly NodeOptions[]

  constructor(listed: readonly NodeOptions[]) {
    this.#listed = listed
  }

  get changes(): NodeChanges {
    return this.#changes
  }

  get listed(): readonly NodeOptions[] {
    return this.#listed
  }

  /** What `options` stand for: the file's whole entry, where they name a node of it that was taken out and say nothing else of it. */
  meant(options: NodeOptions): NodeOptions {
    const { url, name, headers, ...rest } = options
    if (Object.keys(headers).length > 0 || Object.keys(rest).length > 0) return options
    const isMeant = (other: NodeOptions): boolean => other.url === url && (name === undefined || nodeNameOf(other) === name)
    return this.#removed().find((other) => isMeant(other)) ?? options
  }

  noteAdded(node: NodeOptions): void {
    const listed = this.#listed.find((other) => isSameNode(node, other)) ?? null
    // Of another name at the same URL, it stays out in favour of this one.
    if (listed !== null) this.#set(nodeNameOf(listed), null)
    this.#set(nodeNameOf(node), listed !== null && isEqual(node, listed) ? null : { kind: 'added', node, listed, draining: false })
  }

  noteRemoved(name: string): void {
    const listed = this.#listedOf(name)
    this.#set(name, listed === null ? null : { kind: 'removed', listed })
  }

  noteDraining(name: string, draining: boolean): void {
    const change = this.#changes.get(name)
    if (change?.kind === 'added') this.#set(name, { ...change, draining })
    else this.#set(name, draining ? { kind: 'drained' } : null)
  }

  isDraining(name: string): boolean {
    const change = this.#changes.get(name)
    return change?.kind === 'drained' || (change?.kind === 'added' && change.draining)
  }

  /** From now on this list and these changes hold, but for those that the list has overtaken. */
  follow(listed: readonly NodeOptions[], changes: NodeChanges): void {
    this.#listed = listed
    this.#changes = new Map([...changes].filter((entry) => isInForce(entry, listed)))
  }

  #set(name: string, change: NodeChange | null): void {
    const next = new Map(this.#changes)
    if (change === null) next.delete(name)
    else next.set(name, change)
    this.#changes = next
  }

  /** The file's entry that the node of this name is, or took the place of. */
  #listedOf(name: string): NodeOptions | null {
    const change = this.#changes.get(name)
    if (change?.kind === 'added') return change.listed
    return this.#listed.find((options) => nodeNameOf(options) === name) ?? null
  }

  #removed(): NodeOptions[] {
    return [...this.#changes.values()].flatMap((change) => (change.kind === 'removed' ? [change.listed] : []))
  }
}

/** The nodes of a file's list with the changes on top, as far as those are in force. */
export function nodesOver(listed: readonly NodeOptions[], changes: NodeChanges): readonly NodeOptions[] {
  const inForce = [...changes].filter((entry) => isInForce(entry, listed)).map(([, change]) => change)
  const isReplaced = (options: NodeOptions): boolean =>
    inForce.some((change) => change.kind !== 'drained' && change.listed !== null && isEqual(options, change.listed))
  const nodes = listed.filter((options) => !isReplaced(options))
  for (const change of inForce) {
    // Two replicas may have added one node at the same time under different names.
    if (change.kind === 'added' && !nodes.some((other) => isSameNode(change.node, other))) nodes.push(change.node)
  }
  return nodes
}

/** Whether the file has not said anything new of the node since. */
function isInForce([name, change]: readonly [name: string, change: NodeChange], listed: readonly NodeOptions[]): boolean {
  switch (change.kind) {
    case 'added': {
      const now = listed.find((options) => isSameNode(change.node, options))
      return now === undefined || (change.listed !== null && isEqual(now, change.listed))
    }
    case 'removed':
      return listed.some((options) => isEqual(options, change.listed))
    case 'drained':
      return listed.some((options) => nodeNameOf(options) === name)
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
