/**
 * Ollama's scheduler: a bounded queue of requests for models that are not loaded (or loaded with other options), emptied in
 * strict order by ONE loader that also waits for the victim of an eviction; requests for a loaded, compatible model pass by it.
 * The known defects come from the same structure: a request that fits the old options renews the session of a runner that
 * waits to be unloaded (starvation, wedge); a cancelled request keeps its place until the loader reaches it.
 */
import type { Runner } from './runner.ts'
import type { StoredModel } from './store.ts'
import type { Tick, Ticker } from './ticker.ts'

/** Options that belong to the runner process: a difference means a reload. Absent: the runner's own choice. */
export interface RunnerOptions {
  readonly numCtx: number
  readonly shift: boolean
  /** The other reloading options as one text, e.g. `num_batch=32`. */
  readonly rest: string
}

export type ScheduleError =
  { readonly kind: 'busy' } | { readonly kind: 'cancelled' } | { readonly kind: 'load-failed'; readonly text: string }

export interface SchedulerLimits {
  readonly maxQueue: number
  readonly maxLoadedModels: number
  /** 0: memory is no limit and nothing is on a GPU. */
  readonly vramBytes: number
  readonly keepAliveMs: number
  readonly loadTimeoutMs: number
  /** How long the health pings of a hanging runner take. */
  readonly pingMs: number
  slotsOf(model: StoredModel): number
  loadMs(model: StoredModel): number
  newRunner(model: StoredModel, slots: number): Runner
}

export class Loaded {
  readonly model: StoredModel
  readonly options: RunnerOptions
  readonly runner: Runner
  readonly sizeBytes: number
  refCount = 0
  sessionMs: number
  expiresAtMs = 0
  lastUsedMs = 0
  expiry: Tick | null = null
  constructor(wish: Wish, made: { readonly runner: Runner; readonly sizeBytes: number; readonly sessionMs: number }) {
    this.model = wish.model
    this.options = wish.options
    this.runner = made.runner
    this.sizeBytes = made.sizeBytes
    this.sessionMs = made.sessionMs
  }
}

export interface Wish {
  readonly model: StoredModel
  readonly options: RunnerOptions
  /** Null: the request says nothing. */
  readonly sessionMs: number | null
  onReady(loaded: Loaded): void
  onError(error: ScheduleError): void
}

class Pending {
  readonly wish: Wish
  cancelled = false
  /** The loader has it in hand. */
  inHand = false
  constructor(wish: Wish) {
    this.wish = wish
  }
}

/** Bytes a model takes when loaded. */
function loadedBytes(model: StoredModel, numCtx: number, slots: number): number {
  const cachePerToken = (model.facts.embeddingLength ?? 1024) * 24
  return Math.round(model.facts.sizeBytes * 1.1 + numCtx * slots * cachePerToken)
}

export class Scheduler {
  readonly #ticker: Ticker
  readonly #limits: SchedulerLimits
  #loaded = new Map<string, Loaded>()
  #pending: Pending[] = []
  #head: Pending | null = null
  /** The loader told a model to go and looks at nothing else until one is gone; requests that arrive meanwhile do not wake it. */
  #awaitsUnload = false
  #loading: { model: StoredModel; tick: Tick; abort(error: ScheduleError | null): void } | null = null
  loads = 0
  unloads = 0

  constructor(ticker: Ticker, limits: SchedulerLimits) {
    this.#ticker = ticker
    this.#limits = limits
  }

  /** Loaded models, the longest session first, as `/api/ps` lists them. */
  list(): Loaded[] {
    return [...this.#loaded.values()].toSorted((one, other) => this.expiryOf(other) - this.expiryOf(one))
  }

  /** Monotonic time at which a model would be unloaded. */
  expiryOf(loaded: Loaded): number {
    return loaded.expiresAtMs
  }

  find(model: StoredModel): Loaded | null {
    return this.#loaded.get(model.blob) ?? null
  }

  get loadingModel(): StoredModel | null {
    return this.#loading?.model ?? null
  }

  get pendingCount(): number {
    return this.#pending.length
  }

  /** Asks for a runner. The result withdraws the wish; true when the place in the queue stays taken. */
  request(wish: Wish): () => boolean {
    const loaded = this.#loaded.get(wish.model.blob)
    const pending = new Pending(wish)
    if (loaded?.runner.frozen === true) return this.#pingFirst(pending)
    return this.#enter(pending)
  }

  /** A runner that hangs is noticed by health pings only; then the request asks for a reload. */
  #pingFirst(pending: Pending): () => boolean {
    let withdraw = (): boolean => false
    const tick = this.#ticker.after(this.#limits.pingMs, () => {
      withdraw = this.#enter(pending)
    })
    return () => {
      tick.cancel()
      return withdraw()
    }
  }

  #enter(pending: Pending): () => boolean {
    const { wish } = pending
    const loaded = this.#loaded.get(wish.model.blob)
    if (loaded !== undefined && this.#fits(loaded, wish.options)) {
      this.#grant(loaded, pending)
      return () => false
    }
    if (this.#pending.length >= this.#limits.maxQueue) {
      wish.onError({ kind: 'busy' })
      return () => false
    }
    this.#pending.push(pending)
    this.#step()
    return () => this.#withdraw(pending)
  }

  /** The request that held `loaded` is over. */
  release(loaded: Loaded): void {
    loaded.refCount -= 1
    loaded.lastUsedMs = this.#ticker.nowMs()
    if (loaded.refCount > 0) return
    if (loaded.sessionMs <= 0 || loaded.runner.dead) this.#unload(loaded)
    else this.#startSession(loaded)
  }

  /** `keep_alive: 0` without a prompt. */
  expire(model: StoredModel): void {
    const loaded = this.#loaded.get(model.blob)
    if (loaded === undefined) return
    loaded.sessionMs = 0
    loaded.expiresAtMs = this.#ticker.nowMs()
    if (loaded.refCount <= 0) this.#unload(loaded)
  }

  /** The process of a load in progress dies. */
  failLoad(text: string): boolean {
    if (this.#loading === null) return false
    this.#loading.abort({ kind: 'load-failed', text })
    return true
  }

  /** Everything is gone, as after a restart of the server. */
  reset(): void {
    this.#loading?.tick.cancel()
    this.#loading = null
    this.#pending = []
    this.#head = null
    this.#awaitsUnload = false
    for (const loaded of this.#loaded.values()) {
      loaded.expiry?.cancel()
      loaded.runner.kill()
    }
    this.#loaded.clear()
  }

  #fits(loaded: Loaded, options: RunnerOptions): boolean {
    const mine = loaded.options
    return (
      !loaded.runner.dead &&
      !loaded.runner.frozen &&
      mine.numCtx === options.numCtx &&
      mine.shift === options.shift &&
      mine.rest === options.rest
    )
  }

  #grant(loaded: Loaded, pending: Pending): void {
    loaded.refCount += 1
    loaded.expiry?.cancel()
    loaded.expiry = null
    if (pending.wish.sessionMs !== null) loaded.sessionMs = pending.wish.sessionMs
    loaded.lastUsedMs = this.#ticker.nowMs()
    loaded.expiresAtMs = loaded.lastUsedMs + loaded.sessionMs
    pending.wish.onReady(loaded)
  }

  #startSession(loaded: Loaded): void {
    loaded.expiry?.cancel()
    loaded.expiresAtMs = this.#ticker.nowMs() + loaded.sessionMs
    loaded.expiry = Number.isFinite(loaded.sessionMs) ? this.#ticker.at(loaded.expiresAtMs, () => this.#unload(loaded)) : null
  }

  #unload(loaded: Loaded): void {
    if (this.#loaded.get(loaded.model.blob) !== loaded) return
    loaded.expiry?.cancel()
    this.#loaded.delete(loaded.model.blob)
    this.unloads += 1
    this.#awaitsUnload = false
    loaded.runner.kill()
    this.#step()
  }

  /** One turn of the loader. */
  #step(): void {
    if (this.#loading !== null || this.#awaitsUnload) return
    if (this.#head === null) this.#takeHead()
    const head = this.#head
    if (head === null) return
    const { model, options } = head.wish
    const loaded = this.#loaded.get(model.blob)
    if (loaded !== undefined && this.#fits(loaded, options)) {
      this.#head = null
      if (!head.cancelled) this.#grant(loaded, head)
      this.#step()
      return
    }
    const victim = loaded ?? this.#victimFor(model, options)
    if (victim !== null) {
      victim.sessionMs = 0
      victim.expiry?.cancel()
      this.#awaitsUnload = true
      if (victim.refCount <= 0) this.#unload(victim)
      return
    }
    this.#head = null
    if (head.cancelled) this.#step()
    else this.#load(head)
  }

  #takeHead(): void {
    for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift()) {
      if (next.cancelled) continue
      next.inHand = true
      this.#head = next
      return
    }
  }

  /** The model to unload first; null when there is room. */
  #victimFor(model: StoredModel, options: RunnerOptions): Loaded | null {
    const { maxLoadedModels, vramBytes } = this.#limits
    const all = [...this.#loaded.values()]
    const usedBytes = all.reduce((sum, one) => sum + one.sizeBytes, 0)
    const needBytes = loadedBytes(model, options.numCtx, this.#limits.slotsOf(model))
    const roomy = vramBytes === 0 || all.length === 0 || usedBytes + needBytes <= vramBytes
    if (all.length < maxLoadedModels && roomy) return null
    const idle = all.filter((one) => one.refCount <= 0)
    const candidates = idle.length > 0 ? idle : all
    return candidates.reduce((best, one) => (one.lastUsedMs < best.lastUsedMs ? one : best))
  }

  #load(head: Pending): void {
    const { model, options, sessionMs } = head.wish
    const slots = this.#limits.slotsOf(model)
    const loadMs = this.#limits.loadMs(model)
    const timesOut = loadMs > this.#limits.loadTimeoutMs
    const finish = (error: ScheduleError | null): void => {
      this.#loading?.tick.cancel()
      this.#loading = null
      if (error !== null) {
        head.wish.onError(error)
      } else if (!head.cancelled) {
        const sizeBytes = loadedBytes(model, options.numCtx, slots)
        const runner = this.#limits.newRunner(model, slots)
        const loaded = new Loaded(head.wish, { runner, sizeBytes, sessionMs: sessionMs ?? this.#limits.keepAliveMs })
        this.loads += 1
        this.#loaded.set(model.blob, loaded)
        this.#grant(loaded, head)
      }
      this.#step()
    }
    const broken = model.facts.loadError
    const outcome: ScheduleError | null =
      broken !== undefined
        ? { kind: 'load-failed', text: broken }
        : timesOut
          ? { kind: 'load-failed', text: 'timed out waiting for llama-server to start - ' }
          : null
    const tick = this.#ticker.after(timesOut ? this.#limits.loadTimeoutMs : loadMs, () => finish(outcome))
    this.#loading = { model, tick, abort: finish }
    this.#loadingHead = head
  }

  #loadingHead: Pending | null = null

  #withdraw(pending: Pending): boolean {
    if (pending.cancelled) return false
    pending.cancelled = true
    if (this.#loading !== null && this.#loadingHead === pending) {
      this.#loading.abort(null)
      return false
    }
    return !pending.inHand || this.#head === pending
  }
}
