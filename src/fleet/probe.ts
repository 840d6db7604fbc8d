/**
 * Looks after each node: is it there (`/api/version`, which takes no lock in Ollama), what does it hold (`/api/tags`), what
 * is in memory (`/api/ps`). Only `/api/version` decides up or down; a slow `ps` means a sick runner, never a dead node
 * (ollama-contract-verified.md §a, §f). A refused connect seen by a request counts at once; a node that is down is asked
 * each second and is back with its first good answer.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { waitAtMost } from '../base/within.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { decodeLoaded, decodeTags, decodeVersion } from '../wire/listings.ts'
import type { FleetNode, LoadedModel, ModelTag } from './node.ts'
import type { FleetOptions } from './options.ts'
import { ProbeRound } from './probe-round.ts'
import { TransportError } from './transport.ts'

export interface ProbeEvents {
  nodeUp(node: string): void
  nodeDown(node: string, reason: string): void
  probeFailed(node: string, probe: ProbeKind, reason: string): void
  probeEnded(node: string, probe: ProbeKind, durationMs: number): void
}

export type ProbeKind = 'version' | 'tags' | 'ps'
/** `replaced`: it answers with another version, so its process is another one. `listed`: its list of models was read, whether `models` changed or not. */
export type NodeChange = 'up' | 'down' | 'replaced' | 'models' | 'listed' | 'loaded'

export interface ProberDeps {
  readonly nodes: () => readonly FleetNode[]
  readonly clock: Clock
  readonly options: () => FleetOptions['probe']
  readonly random: () => number
  readonly events: ProbeEvents
  readonly onChange: (node: FleetNode, change: NodeChange) => void
}

export interface Prober {
  start(): void
  stop(): void
  /** Probes everything of one node now; resolves when all is known or failed. Never rejects. */
  probeNow(node: FleetNode): Promise<void>
  /** Reads the model list of one node, or of all that are up. Never rejects. */
  refreshModels(node?: FleetNode): Promise<void>
  /**
   * Looks in the lists of all nodes that are up for a model that none is known to hold. Each node is asked at most once a second, and
   * waited for shortly: not one whose last list failed or is late already. Never rejects.
   */
  lookForModels(): Promise<void>
  /** Reads what a node has in memory. Never rejects. */
  refreshLoaded(node: FleetNode): Promise<void>
  /** A request could not connect: the node is down until a probe succeeds. */
  noteConnectFailure(node: FleetNode, reason: string): void
}

interface Watch {
  /** Until the next probe of its life, when that does not wait for the round. */
  soon: Timer | null
  readonly running: Map<ProbeKind, Promise<void>>
  misses: number
  /** The last probe got no answer in time: the next one follows at once, since this one took its interval already. */
  recheck: boolean
  /** Grows with each refused connect, so that an older probe's answer does not undo it. */
  epoch: number
  /** The last reading of its list. */
  list: { readonly startedAtMs: number; readonly failed: boolean }
  /** When its list was last read for a model that no list named. */
  lookedAtMs: number
}

/** From a probe without an answer to the next one. */
const recheckMs = 50
/** Anybody can make up names of models: they may cost a node this much reading and no more. */
const lookEveryMs = 1_000
/** A list comes within some milliseconds; a node that needs longer answers the next one who asks. */
const lookMsMax = 300
const listBytesMax = 16 * 1_048_576

export function createProber(deps: ProberDeps): Prober {
  return new NodeProber(deps)
}

class NodeProber implements Prober {
  readonly #deps: ProberDeps
  readonly #watches = new Map<FleetNode, Watch>()
  readonly #rounds: Readonly<Record<ProbeKind, ProbeRound>>
  #stopped = true

  constructor(deps: ProberDeps) {
    this.#deps = deps
    this.#rounds = { version: this.#round('version'), tags: this.#round('tags'), ps: this.#round('ps') }
  }

  #round(kind: ProbeKind): ProbeRound {
    const { clock, random } = this.#deps
    return new ProbeRound({ clock, random, intervalMs: () => this.#intervalMs(kind), ask: (node) => this.#askInRound(node, kind) })
  }

  start(): void {
    this.#stopped = false
    for (const node of this.#deps.nodes()) void this.probeNow(node)
  }

  stop(): void {
    this.#stopped = true
    for (const { soon } of this.#watches.values()) soon?.cancel()
    for (const round of Object.values(this.#rounds)) round.stop()
    this.#watches.clear()
  }

  #watch(node: FleetNode): Watch {
    let watch = this.#watches.get(node)
    if (watch === undefined) {
      watch = {
        soon: null,
        running: new Map(),
        misses: 0,
        recheck: false,
        epoch: 0,
        list: { startedAtMs: -Infinity, failed: false },
        lookedAtMs: -Infinity,
      }
      this.#watches.set(node, watch)
    }
    return watch
  }

  async probeNow(node: FleetNode): Promise<void> {
    await this.#run(node, 'version')
    if (node.up === true) await Promise.all([this.#run(node, 'tags'), this.#run(node, 'ps')])
  }

  async refreshModels(node?: FleetNode): Promise<void> {
    const nodes = node === undefined ? this.#deps.nodes().filter(({ up }) => up !== false) : [node]
    await Promise.all(nodes.map((one) => this.#run(one, 'tags')))
  }

  async lookForModels(): Promise<void> {
    const nodes = this.#deps.nodes().filter(({ up }) => up !== false)
    await waitAtMost(lookMsMax, this.#deps.clock, Promise.all(nodes.map((node) => this.#look(node))))
  }

  /** Resolves at once where the node is not worth waiting for. */
  async #look(node: FleetNode): Promise<void> {
    const watch = this.#watch(node)
    const nowMs = this.#deps.clock.nowMs()
    const { failed } = watch.list
    if (nowMs - watch.lookedAtMs >= lookEveryMs) {
      watch.lookedAtMs = nowMs
      void this.#run(node, 'tags')
    }
    const isLate = nowMs - watch.list.startedAtMs > lookMsMax
    if (!failed && !isLate) await watch.running.get('tags')
  }

  refreshLoaded(node: FleetNode): Promise<void> {
    return this.#run(node, 'ps')
  }

  noteConnectFailure(node: FleetNode, reason: string): void {
    this.#watch(node).epoch += 1
    this.#down(node, reason)
  }

  /** One probe of a kind at a time per node; a second caller waits for the one that runs. */
  #run(node: FleetNode, kind: ProbeKind): Promise<void> {
    const watch = this.#watch(node)
    const running = watch.running.get(kind)
    if (running !== undefined) return running
    this.#unschedule(node, watch, kind)
    const probe = this.#probe(node, watch, kind).finally(() => {
      watch.running.delete(kind)
      this.#schedule(node, watch, kind)
    })
    watch.running.set(kind, probe)
    return probe
  }

  #schedule(node: FleetNode, watch: Watch, kind: ProbeKind): void {
    if (this.#stopped || !this.#deps.nodes().includes(node)) {
      this.#watches.delete(node)
      return
    }
    this.#unschedule(node, watch, kind)
    if (kind === 'version' && watch.recheck && node.up === true) {
      watch.soon = this.#deps.clock.after(recheckMs, () => void this.#run(node, kind))
    } else this.#rounds[kind].join(node)
  }

  #unschedule(node: FleetNode, watch: Watch, kind: ProbeKind): void {
    this.#rounds[kind].leave(node)
    if (kind !== 'version') return
    watch.soon?.cancel()
    watch.soon = null
  }

  #askInRound(node: FleetNode, kind: ProbeKind): void {
    // Lists of a node that is down are read when it is back.
    if (kind === 'version' || node.up === true) void this.#run(node, kind)
    else this.#schedule(node, this.#watch(node), kind)
  }

  #intervalMs(kind: ProbeKind): number {
    const options = this.#deps.options()
    if (kind === 'version') return options.intervalMs
    return kind === 'tags' ? options.modelsIntervalMs : options.loadedIntervalMs
  }

  async #probe(node: FleetNode, watch: Watch, kind: ProbeKind): Promise<void> {
    const { clock, events } = this.#deps
    const { epoch } = watch
    const startedAtMs = clock.nowMs()
    if (kind === 'tags') watch.list = { startedAtMs, failed: watch.list.failed }
    try {
      const body = await this.#ask(node, kind)
      const tookMs = clock.nowMs() - startedAtMs
      events.probeEnded(node.name, kind, tookMs)
      if (kind === 'version') node.probeMs = tookMs
      if (kind === 'version') this.#onVersion(node, watch, { body, fresh: epoch === watch.epoch })
      else if (kind === 'tags') {
        watch.list = { startedAtMs, failed: false }
        this.#onTags(node, body)
      } else this.#onLoaded(node, body, startedAtMs)
    } catch (error) {
      if (!(error instanceof TransportError)) throw error
      events.probeFailed(node.name, kind, error.message)
      if (kind === 'version') this.#onMiss(node, watch, error)
      if (kind === 'tags') watch.list = { startedAtMs, failed: true }
    }
  }

  async #ask(node: FleetNode, kind: ProbeKind): Promise<Buffer> {
    const options = this.#deps.options()
    const request = { method: 'GET', path: `/api/${kind}`, headers: ['accept-encoding', 'identity'], body: null }
    const timeoutMs = kind === 'version' ? options.timeoutMs : Math.max(options.timeoutMs, 3_000)
    const response = await node.transport.request(request, { timeoutMs, bytesMax: listBytesMax })
    if (response.status === 200) return response.body
    throw new TransportError('protocol', `GET /api/${kind} answered ${response.status}`)
  }

  #onVersion(node: FleetNode, watch: Watch, { body, fresh }: { body: Buffer; fresh: boolean }): void {
    const version = decodeVersion(body)
    if (version === null) {
      this.#onMiss(node, watch, new TransportError('protocol', 'GET /api/version is no Ollama answer'))
      return
    }
    const replaced = node.version !== null && node.version !== version && node.up === true
    node.version = version
    node.lastSeenMs = this.#deps.clock.nowMs()
    watch.misses = 0
    watch.recheck = false
    if (fresh && node.up !== true) this.#up(node)
    if (!replaced) return
    this.#deps.onChange(node, 'replaced')
    void this.#run(node, 'tags')
    void this.#run(node, 'ps')
  }

  #up(node: FleetNode): void {
    const returned = node.up === false
    node.up = true
    node.downReason = null
    if (returned) node.upSinceMs = this.#deps.clock.nowMs()
    this.#deps.events.nodeUp(node.name)
    this.#deps.onChange(node, 'up')
    void this.#run(node, 'tags')
    void this.#run(node, 'ps')
  }

  #onMiss(node: FleetNode, watch: Watch, error: TransportError): void {
    // No file descriptor or port left here: that is no news of a node.
    if (error.kind === 'local' && node.up !== null) return
    watch.misses += 1
    watch.recheck = error.kind === 'timeout'
    const certain = error.kind === 'connect' || node.up === null
    if (certain || watch.misses >= this.#deps.options().missesUntilDown) this.#down(node, error.message)
  }

  #down(node: FleetNode, reason: string): void {
    const changed = node.up !== false || node.downReason !== reason
    const wasUp = node.up !== false
    node.up = false
    node.downReason = reason
    node.loaded = new Map()
    node.loadedAtMs = -Infinity
    if (changed) this.#deps.events.nodeDown(node.name, reason)
    if (wasUp) this.#deps.onChange(node, 'down')
  }

  #onTags(node: FleetNode, body: Buffer): void {
    const rows = decodeTags(body)
    if (rows === null) {
      this.#deps.events.probeFailed(node.name, 'tags', 'the answer is no model list')
      return
    }
    const models = new Map<string, ModelTag>()
    for (const { fields, raw } of rows) {
      const { name, digest, size, modified_at: modifiedAt } = fields
      const remoteHost = fields.remote_host || fields.remote_model || null
      const { family } = fields.details
      models.set(canonicalModelName(name), { name, digest, sizeBytes: size, modifiedAt, family, remoteHost, raw })
    }
    const changed = !node.modelsKnown || !sameModels(node.models, models)
    node.models = models
    node.modelsKnown = true
    if (changed) this.#deps.onChange(node, 'models')
    this.#deps.onChange(node, 'listed')
  }

  #onLoaded(node: FleetNode, body: Buffer, askedAtMs: number): void {
    const rows = decodeLoaded(body)
    if (rows === null) {
      this.#deps.events.probeFailed(node.name, 'ps', 'the answer is no model list')
      return
    }
    const loaded = new Map<string, LoadedModel>()
    for (const { fields, raw } of rows) {
      const name = canonicalModelName(fields.name)
      const { digest, size, size_vram: vramBytes, context_length: contextLength = null } = fields
      loaded.set(name, { name, digest, sizeBytes: size, vramBytes, contextLength, expiresAtMs: Date.parse(fields.expires_at), raw })
    }
    node.loaded = loaded
    node.loadedAtMs = askedAtMs
    this.#deps.onChange(node, 'loaded')
  }
}

function sameModels(a: ReadonlyMap<string, ModelTag>, b: ReadonlyMap<string, ModelTag>): boolean {
  if (a.size !== b.size) return false
  for (const [name, { digest, remoteHost }] of a) {
    const other = b.get(name)
    if (other?.digest !== digest || (other.remoteHost ?? null) !== (remoteHost ?? null)) return false
  }
  return true
}
