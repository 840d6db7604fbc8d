/**
 * Nodes added, taken out, drained and put back by an operator: for all processes of the gateway, whichever is asked. Where there is a store it
 * says what holds (`followed-rows.ts`): the other replicas read it at once when they are told that something changed, and else within a
 * second, and so does one that starts later. Workers of one machine tell each other the change itself, for they may have no store.
 *
 * A change that the file has overtaken (`by-hand.ts`) is out of force here and may still be in force at a replica with the older file, which
 * must not get a node back that was taken out: it stays in the store until it has been in force nowhere for ten minutes.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { FollowedRows } from '../../base/followed-rows.ts'
import type { NodeChange } from '../../fleet/by-hand.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import type { FleetNode } from '../../fleet/node.ts'
import type { NodeOptions } from '../../fleet/options.ts'
import type { Peers, ToldChange } from '../peers.ts'
import type { NodeStore } from './node-store.ts'

const tendMs = 60_000

export interface NodeChangesDeps {
  readonly fleet: Pick<Fleet, 'nodes' | 'addNode' | 'removeNode' | 'setDraining' | 'byHand' | 'adopt'> & {
    readonly prober: Pick<Fleet['prober'], 'probeNow'>
  }
  readonly clock: Clock
  /** Null: changes last as long as this process and its neighbours. */
  readonly store: NodeStore | null
  readonly peers: Peers
  readonly onTrouble: (message: string, cause: unknown) => void
}

export class NodeChanges {
  readonly #deps: NodeChangesDeps
  readonly #rows: FollowedRows<NodeChange>
  #timer: Timer | null = null
  #closed = false

  constructor(deps: NodeChangesDeps) {
    this.#deps = deps
    const { fleet, clock, store, onTrouble } = deps
    this.#rows = new FollowedRows({
      clock,
      store,
      current: () => fleet.byHand(),
      async put(changes) {
        await Promise.all(fleet.adopt(changes).map((node) => fleet.prober.probeNow(node)))
      },
      what: 'changes of nodes by hand',
      onTrouble,
    })
  }

  /** Takes over what was changed before, and follows what others change. */
  async start(): Promise<void> {
    await this.#rows.start()
    this.#wait()
  }

  close(): void {
    this.#closed = true
    this.#rows.close()
    this.#timer?.cancel()
  }

  /** Throws `conflict` when the name or URL is taken. */
  add(options: NodeOptions): Promise<FleetNode> {
    return this.#make(() => this.#deps.fleet.addNode(options))
  }

  /** Throws `node_not_found`. */
  remove(name: string): Promise<void> {
    return this.#make(() => this.#deps.fleet.removeNode(name))
  }

  /** Throws `node_not_found`. */
  setDraining(name: string, draining: boolean): Promise<FleetNode> {
    return this.#make(() => this.#deps.fleet.setDraining(name, draining), draining ? null : name)
  }

  /** Whether what was changed of a node outlives this process and reaches the other replicas. */
  isKept(name: string): boolean {
    return this.#rows.isKept(name)
  }

  /** Another process made a change. */
  async hear({ changes, putBack }: ToldChange): Promise<void> {
    const { fleet, store } = this.#deps
    if (changes !== null) await this.#rows.adopt(changes)
    else if (store?.shared === true) await this.#rows.look()
    else return
    if (putBack !== null && fleet.nodes.some(({ name }) => name === putBack)) fleet.setDraining(putBack, false)
  }

  async #make<T>(work: () => T | Promise<T>, putBack: string | null = null): Promise<T> {
    const { result, changed } = await this.#rows.change(async () => work())
    await this.#deps.peers.ask({ kind: 'node-changed', changes: [...changed], putBack })
    return result
  }

  #wait(): void {
    const { store, clock } = this.#deps
    if (store === null || this.#closed) return
    this.#timer = clock.after(tendMs, () => void this.#tend(store).then(() => this.#wait()))
  }

  /** What the store holds and this process has not read yet is in force nowhere as far as it knows, and would be forgotten. */
  async #tend(store: NodeStore): Promise<void> {
    const { fleet, onTrouble } = this.#deps
    try {
      if (await this.#rows.look()) await store.tend([...fleet.byHand().keys()])
    } catch (error) {
      onTrouble('changes of nodes by hand cannot be kept in order', error)
    }
  }
}
