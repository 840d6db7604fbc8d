/**
 * One runner process: `slots` tasks at a time, a silent FIFO behind them, a prefix cache, and time that passes per token.
 * Invariants: a task ends exactly once, by `onDone`, `onFail` or `cancel`; a cancelled task keeps its slot until the batch
 * or token it was computing is over, as the real runner does.
 */
import { PromptCache } from './prompt-cache.ts'
import type { Tick, Ticker } from './ticker.ts'

const batchTokens = 512

export interface TaskTimes {
  /** Tokens of the prompt that had to be computed. */
  readonly promptMs: number
  readonly evalMs: number
}

export interface RunnerTask {
  /** Key of the prefix cache. */
  readonly prompt: string
  readonly promptTokens: number
  /** Tokens to decode, the end token included; 0 for an embedding. */
  readonly steps: number
  /** Time of an embedding task, at speed 1; 0 for a generation. */
  readonly workMs: number
  /** Steps `from` to `to` (exclusive) are due. */
  onSteps(from: number, to: number): void
  onDone(times: TaskTimes): void
  onFail(error: 'unexpected EOF' | 'gone'): void
}

export interface RunnerRates {
  readonly slots: number
  readonly promptTokensPerMs: number
  readonly evalTokensPerMs: number
}

class Running {
  readonly task: RunnerTask
  startMs = 0
  promptEndMs = 0
  next = 0
  state: 'waiting' | 'running' | 'over' = 'waiting'
  tick: Tick | null = null
  constructor(task: RunnerTask) {
    this.task = task
  }
}

export class Runner {
  readonly #ticker: Ticker
  readonly #rates: RunnerRates
  readonly #cache = new PromptCache()
  #waiting: Running[] = []
  #running = new Set<Running>()
  #busySlots = 0
  #frozenAtMs: number | null = null
  #dead = false

  constructor(ticker: Ticker, rates: RunnerRates) {
    this.#ticker = ticker
    this.#rates = rates
  }

  get frozen(): boolean {
    return this.#frozenAtMs !== null
  }
  get dead(): boolean {
    return this.#dead
  }
  get active(): number {
    return this.#busySlots
  }
  get waiting(): number {
    return this.#waiting.length
  }

  /** Queues a task; the result cancels it. */
  submit(task: RunnerTask): () => void {
    const running = new Running(task)
    if (this.#dead) {
      task.onFail('gone')
      return () => {}
    }
    this.#waiting.push(running)
    this.#fill()
    return () => this.#cancel(running)
  }

  /** Stops time for this runner (SIGSTOP). */
  freeze(): void {
    this.#frozenAtMs ??= this.#ticker.nowMs()
    for (const running of this.#running) running.tick?.cancel()
  }

  /** Lets time go on (SIGCONT), from where it stopped. */
  thaw(): void {
    if (this.#frozenAtMs === null) return
    const lostMs = this.#ticker.nowMs() - this.#frozenAtMs
    this.#frozenAtMs = null
    for (const running of this.#running) {
      running.startMs += lostMs
      running.promptEndMs += lostMs
      if (running.state === 'running') this.#plan(running)
      else this.#free(running)
    }
    this.#fill()
  }

  /** The process dies: what runs loses its connection, what waits is refused. */
  kill(): void {
    if (this.#dead) return
    this.#dead = true
    const running = [...this.#running]
    const waiting = this.#waiting
    this.#running.clear()
    this.#waiting = []
    this.#busySlots = 0
    for (const one of running) this.#fail(one, 'unexpected EOF')
    for (const one of waiting) this.#fail(one, 'gone')
  }

  #fail(running: Running, error: 'unexpected EOF' | 'gone'): void {
    running.tick?.cancel()
    if (running.state === 'over') return
    running.state = 'over'
    running.task.onFail(error)
  }

  #fill(): void {
    while (!this.frozen && this.#busySlots < this.#rates.slots) {
      const running = this.#waiting.shift()
      if (running === undefined) return
      this.#start(running)
    }
  }

  #start(running: Running): void {
    const { task } = running
    running.state = 'running'
    this.#running.add(running)
    this.#busySlots += 1
    running.startMs = this.#ticker.nowMs()
    const known = task.steps === 0 ? 0 : this.#cache.knownTokens(task.prompt)
    const fresh = Math.max(1, task.promptTokens - known)
    running.promptEndMs = running.startMs + (task.workMs > 0 ? task.workMs : fresh / this.#rates.promptTokensPerMs)
    if (task.steps > 0) this.#cache.remember(task.prompt)
    this.#plan(running)
  }

  #dueMs(running: Running): number {
    return running.promptEndMs + running.next / this.#rates.evalTokensPerMs
  }

  #plan(running: Running): void {
    running.tick = this.#ticker.at(this.#dueMs(running), () => this.#advance(running))
  }

  #advance(running: Running): void {
    if (running.state !== 'running') return
    const { task } = running
    const from = running.next
    const elapsedMs = this.#ticker.nowMs() - running.promptEndMs
    const to = Math.min(task.steps, Math.max(from + 1, Math.floor(elapsedMs * this.#rates.evalTokensPerMs) + 1))
    running.next = to
    if (from < to) task.onSteps(from, to)
    if (running.state !== 'running' || this.#dead) return
    if (to < task.steps) {
      if (!this.frozen) this.#plan(running)
      return
    }
    running.state = 'over'
    this.#free(running)
    task.onDone({ promptMs: running.promptEndMs - running.startMs, evalMs: Math.max(0, this.#ticker.nowMs() - running.promptEndMs) })
  }

  #free(running: Running): void {
    if (!this.#running.delete(running)) return
    this.#busySlots -= 1
    this.#fill()
  }

  #cancel(running: Running): void {
    if (running.state === 'over') return
    const wasWaiting = running.state === 'waiting'
    running.state = 'over'
    running.tick?.cancel()
    if (wasWaiting) {
      this.#waiting = this.#waiting.filter((one) => one !== running)
      return
    }
    if (this.frozen) return
    const nowMs = this.#ticker.nowMs()
    const batchMs = batchTokens / this.#rates.promptTokensPerMs
    const batchEndMs = running.startMs + Math.ceil((nowMs - running.startMs) / batchMs) * batchMs
    const freeMs = nowMs < running.promptEndMs ? Math.min(running.promptEndMs, batchEndMs) : this.#dueMs(running)
    this.#ticker.at(freeMs, () => this.#free(running))
  }
}
