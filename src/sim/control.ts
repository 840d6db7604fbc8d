/**
 * Faults from the outside: what a test sets, and the faults that concern the node as a whole (its listener, its runners)
 * rather than one answer.
 */
import type { NodeContext } from './context.ts'
import { assertUsable, type FaultKind, type FaultOptions } from './faults.ts'
import type { Tick } from './ticker.ts'

export interface SimControl {
  /** Sets a fault; see `faults.ts` for the kinds. Throws a `RangeError` for an option that the kind cannot follow. */
  set(kind: FaultKind, options?: FaultOptions): void
  /** Ends all faults, or those of one kind. Frozen runners go on; killed ones stay dead. */
  clear(kind?: FaultKind): void
}

interface ListenerHooks {
  refuse(): void
  accept(): Promise<void>
}

export class NodeControl implements SimControl {
  readonly #context: NodeContext
  readonly #hooks: ListenerHooks
  #revival: Tick | null = null
  #flapping: Tick | null = null
  #thaw: Tick | null = null

  constructor(context: NodeContext, hooks: ListenerHooks) {
    this.#context = context
    this.#hooks = hooks
  }

  set(kind: FaultKind, options: FaultOptions = {}): void {
    assertUsable(kind, options)
    switch (kind) {
      case 'refuse':
        this.#refuse(options.forMs)
        return
      case 'flap':
        this.#flap(options)
        return
      case 'frozen-runner':
        this.#freeze(options)
        return
      case 'runner-death':
        if (options.atFrame === undefined) this.killRunners(options.model)
        else this.#context.faults.set(kind, options)
        return
      default:
        this.#context.faults.set(kind, options)
    }
  }

  clear(kind?: FaultKind): void {
    this.#context.faults.clear(kind)
    if (kind === undefined || kind === 'frozen-runner') this.#thawAll()
    if (kind === undefined || kind === 'flap') this.#flapping?.cancel()
    if (kind === undefined || kind === 'refuse' || kind === 'flap') {
      this.#revival?.cancel()
      void this.#hooks.accept()
    }
  }

  /** Kills the runners of a model (all when absent), and a load in progress. */
  killRunners(model?: string): void {
    const { scheduler } = this.#context
    if (model === undefined || scheduler.loadingModel?.name === model)
      scheduler.failLoad('llama-server process no longer running: unknown ')
    for (const loaded of this.#runners(model)) loaded.runner.kill()
  }

  #runners(model: string | undefined): ReturnType<NodeContext['scheduler']['list']> {
    return this.#context.scheduler.list().filter((loaded) => model === undefined || loaded.model.name === model)
  }

  #freeze({ model, forMs }: FaultOptions): void {
    for (const loaded of this.#runners(model)) loaded.runner.freeze()
    this.#thaw?.cancel()
    this.#thaw = forMs === undefined ? null : this.#context.ticker.after(forMs, () => this.#thawAll())
  }

  #thawAll(): void {
    this.#thaw?.cancel()
    this.#thaw = null
    for (const loaded of this.#runners(undefined)) loaded.runner.thaw()
  }

  #refuse(forMs: number | undefined): void {
    this.#hooks.refuse()
    this.#revival?.cancel()
    if (forMs !== undefined) this.#revival = this.#context.ticker.after(forMs, () => void this.#hooks.accept())
  }

  #flap(options: FaultOptions): void {
    const periodMs = options.delayMs ?? 1_000
    const { ticker } = this.#context
    const endMs = options.forMs === undefined ? Infinity : ticker.nowMs() + options.forMs
    let left = options.count ?? Infinity
    let down = false
    const turn = (): void => {
      const over = ticker.nowMs() >= endMs || (!down && left === 0)
      down = !down && !over
      if (down) left -= 1
      if (down) this.#hooks.refuse()
      else void this.#hooks.accept()
      if (!over) this.#flapping = ticker.after(periodMs, turn)
    }
    this.#flapping?.cancel()
    turn()
  }
}
