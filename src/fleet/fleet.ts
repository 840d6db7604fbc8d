/**
 * The fleet put together: nodes with their probes, breakers and runners, and one relay per placement on top. It needs
 * neither database nor Redis. Nodes can be added, removed and drained while requests run; options are read through a
 * function so that a reload takes effect at the next use.
 */
import type { Clock } from '../base/clock.ts'
import { LiveList } from '../base/live-list.ts'
import { CorralError } from '../core/errors.ts'
import type { Call } from '../core/call.ts'
import type { Relay } from '../core/relay.ts'
import type { EndAttempt } from '../observe/tracing.ts'
import { Admission } from './admission.ts'
import { answerAliases } from './alias.ts'
import type { Attempt } from './attempt.ts'
import { createBreaker } from './breaker.ts'
import { ChangesByHand, isEqual, type NodeChanges, nodeNameOf, nodesOver } from './by-hand.ts'
import { type Catalogue, createCatalogue } from './catalogue.ts'
import { createDispatch, type DispatchEvents } from './dispatch.ts'
import { createEmbedSplit, type EmbedSplitDeps } from './embed-split.ts'
import { Engine } from './engine.ts'
import { Affinity } from './learning.ts'
import { Loader, type LoaderEvents } from './loader.ts'
import type { RunnerLeases } from './leases.ts'
import { LoadPricing } from './load-pricing.ts'
import { type FleetNode, unprobed } from './node.ts'
import { watchCertificate } from './node-certificate.ts'
import { NumCtxPolicy } from './num-ctx.ts'
import { createOperations, type Operations, refuseCloud } from './operations/operations.ts'
import type { FleetOptions, NodeOptions } from './options.ts'
import { byPlacement } from './placement.ts'
import { policies } from './policy/index.ts'
import { PoolTable } from './pool.ts'
import { createProber, type NodeChange, type ProbeEvents, type Prober } from './probe.ts'
import { RetryBudget } from './retry-budget.ts'
import { createTransport } from './transport.ts'
import type { LineEvents, Waiter } from './waiting-line.ts'
import { Sweep } from './sweep.ts'
import { Watchdog } from './watchdog.ts'
import { WeightsBook } from './weights.ts'

/** What the fleet reports; all of it is optional to hear and none of it may throw. */
export interface FleetEvents extends LineEvents, LoaderEvents, DispatchEvents, ProbeEvents {
  breakerChanged(node: string, state: 'closed' | 'open' | 'half_open'): void
  wedgeFreed(node: string, model: string): void
  digestDrift(model: string, digests: ReadonlyMap<string, readonly string[]>): void
  /** An upload failed on a node while others have it. */
  partFailed(node: string, reason: string): void
  shardResent(node: string | null, reason: 'straggler' | 'hedge'): void
}

export interface FleetDeps {
  readonly options: () => FleetOptions
  /** What this process may use of the slots that a node is said to have; left out: all. */
  readonly slotsShare?: (slots: number) => number
  readonly clock: Clock
  readonly random: () => number
  readonly events: FleetEvents
  /** Adds the call's id and trace context to a flat list of headers; gives who is to hear how the try ended, if anybody. */
  readonly addCallHeaders: (headers: string[], call: Call) => EndAttempt | null
  /** Sent with everything, probes included: the loop guard. */
  readonly nodeHeaders: Readonly<Record<string, string>>
  /** What this replica agrees on with others that ask the same nodes; null or left out: it is the only one. */
  readonly leases?: RunnerLeases | null
}

export class Fleet {
  readonly #deps: FleetDeps
  readonly #nodes: FleetNode[] = []
  readonly #active = new LiveList<Attempt>(() => this.#sweep.wake())
  readonly catalogue: Catalogue
  readonly pools: PoolTable<Waiter>
  readonly prober: Prober
  readonly budget: RetryBudget
  readonly watchdog: Watchdog
  readonly operations: Operations
  readonly #admission: Admission
  readonly #pricing: LoadPricing
  readonly #numCtx: NumCtxPolicy
  readonly #engine: Engine
  readonly #weights: WeightsBook
  readonly #affinity = new Affinity()
  readonly #byHand: ChangesByHand
  /** Answers by the placement of the route, whatever name the client has for the model. */
  readonly #named: Relay
  readonly #sweep: Sweep

  constructor(deps: FleetDeps) {
    this.#deps = deps
    const { options, clock, events } = deps
    const nodes = () => this.#nodes
    this.#byHand = new ChangesByHand(options().nodes)
    for (const node of options().nodes) this.#nodes.push(this.#createNode(node))
    this.catalogue = createCatalogue({
      nodes,
      aliases: () => options().aliases,
      remoteAllowed: () => options().cloudModels,
      clock,
      onDrift: events.digestDrift,
    })
    this.#numCtx = new NumCtxPolicy(() => options().numCtx)
    this.#engine = new Engine({ nodes, catalogue: this.catalogue, options, numCtx: this.#numCtx })
    this.#weights = new WeightsBook({ nodes, options, onLearned: (digest, weights) => this.#onWeights(digest, weights) })
    this.pools = new PoolTable({ ...deps, catalogue: this.catalogue, nodes, weightsOf: (digest) => this.#weights.weightsOf(digest) })
    this.budget = new RetryBudget(() => options().retry)
    this.prober = createProber({
      nodes,
      clock,
      options: () => options().probe,
      random: deps.random,
      events,
      onChange: (node, change) => this.#onNodeChange(node, change),
    })
    this.#pricing = new LoadPricing({ nodes, use: (node) => this.pools.use(node), clock })
    this.#admission = this.#createAdmission()
    const one = this.#createOne()
    const split = createEmbedSplit({
      one: (request, call) => this.operations.one(request, call),
      pools: this.pools,
      options,
      clock,
      onResend: events.shardResent,
      letGo: (model, names) => void this.operations.letGo(model, names),
    } satisfies EmbedSplitDeps)
    this.operations = createOperations({
      nodes,
      catalogue: this.catalogue,
      prober: this.prober,
      one,
      clock,
      options,
      use: (node) => this.pools.use(node),
      onPartFailed: events.partFailed,
    })
    this.watchdog = this.#createWatchdog()
    this.#sweep = new Sweep({
      clock,
      active: this.#active,
      isAwaited: () => this.pools.waiting().next().done !== true,
      upkeep: (nowMs) => {
        this.#admission.tick(nowMs)
        this.watchdog.tick(nowMs)
      },
    })
    const { operations } = this
    this.#named = answerAliases(this.catalogue)(byPlacement({ ...operations, split, relay: one }))
  }

  #createNode(options: NodeOptions): FleetNode {
    const { clock, random, events } = this.#deps
    const fleet = this.#deps.options()
    const name = nodeNameOf(options)
    const breaker = createBreaker(() => this.#deps.options().breaker, random)
    breaker.onChange = (state) => events.breakerChanged(name, state)
    const { connectTimeoutMs } = fleet
    const headers = { ...options.headers, ...this.#deps.nodeHeaders }
    const transport = createTransport({ url: options.url, headers, connectTimeoutMs, caFile: options.caFile, clock })
    return {
      name,
      options,
      transport,
      breaker,
      certificate: watchCertificate(options, { clock, random }),
      ...unprobed(),
    }
  }

  #createAdmission(): Admission {
    const { options, clock, random, events } = this.#deps
    const loader = new Loader({ clock, options, events })
    const policy = () => policies[options().policy]
    const queued: LineEvents['queued'] = (pool, depth) => {
      this.#sweep.wake()
      events.queued(pool, depth)
    }
    return new Admission({
      pools: this.pools,
      loader,
      affinity: this.#affinity,
      pricing: this.#pricing,
      policy,
      options,
      clock,
      random,
      events: { ...events, queued },
    })
  }

  #createOne(): Relay {
    const { options, clock, events, addCallHeaders } = this.#deps
    return createDispatch({
      admission: this.#admission,
      budget: this.budget,
      catalogue: this.catalogue,
      numCtx: this.#numCtx,
      weights: this.#weights,
      affinity: this.#affinity,
      tracksConversations: () => options().policy === 'expected-completion',
      clock,
      options,
      active: this.#active,
      events,
      addCallHeaders,
      lookForModels: () => this.prober.lookForModels(),
      refreshLoaded: (node) => this.prober.refreshLoaded(node),
      connectFailed: (node, reason) => this.prober.noteConnectFailure(node, reason),
    })
  }

  #createWatchdog(): Watchdog {
    const { options, clock, events } = this.#deps
    return new Watchdog({
      clock,
      options,
      nodes: () => this.#nodes,
      use: (node) => this.pools.use(node),
      active: this.#active,
      refreshLoaded: (node) => this.prober.refreshLoaded(node),
      onFreed: events.wedgeFreed,
    })
  }

  /** Canonical name of a model that some node holds; null otherwise. */
  knownModel(model: string): string | null {
    const { known, name } = this.catalogue.resolve(model)
    return known ? name : null
  }

  /**
   * Digest of the build that answers callers of `group` (null: of none) for `model`; null when none of their nodes is known to
   * hold it, and when nodes would run it elsewhere.
   */
  digestOf(model: string, group: string | null = null): string | null {
    const { digest, remote } = this.catalogue.resolve(model, group)
    return remote ? null : digest
  }

  /** Digests of all builds of `model` that nodes have. */
  digestsOf(model: string): readonly string[] {
    const { name } = this.catalogue.resolve(model)
    const tags = this.#nodes.map(({ models }) => models.get(name)).filter((tag) => tag !== undefined)
    return [...new Set(tags.map(({ digest }) => digest))]
  }

  /** What decides beside its digest what nodes of `group` answer for `model`: their versions, major and minor, and what is done to `num_ctx`. */
  engineOf(model: string, group: string | null = null): string {
    return this.#engine.of(this.catalogue.resolve(model, group).name, group)
  }

  get nodes(): readonly FleetNode[] {
    return this.#nodes
  }

  /** Attempts under way on nodes. */
  get activeAttempts(): number {
    return this.#active.size
  }

  /** Answers a request by the placement of its route. */
  readonly relay: Relay = (request, call) => {
    if (!this.#deps.options().cloudModels) refuseCloud(request, this.catalogue)
    return this.#named(request, call)
  }

  start(): void {
    this.prober.start()
    this.#deps.leases?.start({ leases: () => this.pools.leases(), wake: () => this.#admission.wake() })
    this.#sweep.start()
  }

  #onNodeChange(node: FleetNode, change: NodeChange): void {
    // A probe of a node that was taken out may still end.
    if (!this.#nodes.includes(node)) return
    if (change === 'listed') return void this.#weights.learn(node)
    const nowMs = this.#deps.clock.nowMs()
    // It may be down because its certificate has ended, and back with another one.
    if (change === 'up' || change === 'down') node.certificate?.look()
    if (change !== 'loaded') this.catalogue.invalidate()
    if (change === 'down' || change === 'replaced') {
      this.pools.forgetResidency(node)
      this.#affinity.forget(node.name, nowMs)
    }
    if (change === 'down') this.#active.forEach((attempt) => attempt.check(nowMs))
    if (change === 'loaded') {
      this.#pricing.sawLoaded(node)
      for (const runner of this.pools.use(node).runners.values()) runner.noteListed()
    }
    this.#admission.wake()
  }

  #onWeights(digest: string, weights: string): void {
    this.pools.join(digest, weights)
    // Pools take their runners anew.
    this.catalogue.invalidate()
    this.#admission.wake()
  }

  /** Throws `conflict` when the name or URL is taken. */
  async addNode(given: NodeOptions): Promise<FleetNode> {
    const options = this.#byHand.meant(given)
    const node = this.#createNode(options)
    if (this.#nodes.some((other) => other.name === node.name || other.options.url === options.url)) {
      await node.transport.close()
      throw new CorralError('conflict', `a node named ${node.name} or with this URL is there already`)
    }
    this.#nodes.push(node)
    this.#byHand.noteAdded(options)
    this.catalogue.invalidate()
    await this.prober.probeNow(node)
    return node
  }

  /** Takes a node out: no new requests, open streams end by themselves. Throws `node_not_found`. */
  removeNode(name: string): void {
    const node = this.#find(name)
    this.#byHand.noteRemoved(name)
    this.#drop(node)
  }

  #drop(node: FleetNode): void {
    this.#nodes.splice(this.#nodes.indexOf(node), 1)
    this.catalogue.invalidate()
    this.pools.drop(node)
    node.certificate?.stop()
    void node.transport.closeWhenIdle()
    this.#admission.wake()
  }

  /** An operator who puts a node back vouches for it: its breaker closes, whatever it was ejected for. Throws `node_not_found`. */
  setDraining(name: string, draining: boolean): FleetNode {
    const node = this.#find(name)
    this.#byHand.noteDraining(name, draining)
    this.#drain(node, draining)
    this.catalogue.invalidate()
    this.#admission.wake()
    return node
  }

  #drain(node: FleetNode, draining: boolean): void {
    node.draining = draining
    if (!draining) node.breaker.forceClose(this.#deps.clock.nowMs())
  }

  #find(name: string): FleetNode {
    const node = this.#nodes.find((candidate) => candidate.name === name)
    if (node !== undefined) return node
    const names = this.#nodes.map((candidate) => candidate.name).join(', ')
    throw new CorralError('node_not_found', `no node named ${name}; there are: ${names}`)
  }

  /**
   * Follows a new node list: adds, removes, keeps those whose options are equal, and what was added or taken out by hand.
   * Throws before it changes anything.
   */
  async reconcile(listed: readonly NodeOptions[]): Promise<void> {
    const added = this.#follow(listed)
    await Promise.all(added.map((node) => this.prober.probeNow(node)))
  }

  /** What was changed by hand. */
  byHand(): NodeChanges {
    return this.#byHand.changes
  }

  /** Takes over what was changed by hand in another process. Gives the nodes that are new, not probed yet. Throws before it changes anything. */
  adopt(changes: NodeChanges): readonly FleetNode[] {
    return this.#follow(this.#byHand.listed, changes)
  }

  /** Returns the nodes that are new. */
  #follow(listed: readonly NodeOptions[], changes = this.#byHand.changes): FleetNode[] {
    const wanted = nodesOver(listed, changes)
    const isNew = (options: NodeOptions): boolean => !this.#nodes.some((node) => isEqual(options, node.options))
    // A certificate authority's file that cannot be read throws here.
    const added = wanted.filter(isNew).map((options) => this.#createNode(options))
    const gone = this.#nodes.filter((node) => !wanted.some((options) => isEqual(options, node.options)))
    this.#byHand.follow(listed, changes)
    for (const node of gone) this.#drop(node)
    this.#nodes.push(...added)
    for (const node of this.#nodes) if (node.draining !== this.#byHand.isDraining(node.name)) this.#drain(node, !node.draining)
    // Aliases and slots may have changed, too.
    this.catalogue.invalidate()
    this.pools.forgetPeerSlots()
    this.#admission.wake()
    return added
  }

  async close(): Promise<void> {
    this.#sweep.stop()
    this.prober.stop()
    for (const { certificate } of this.#nodes) certificate?.stop()
    await this.#deps.leases?.close()
    await Promise.all(this.#nodes.map((node) => node.transport.close()))
  }
}
