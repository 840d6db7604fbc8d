/**
 * An Ollama node as its scheduler behaves: a model in memory serves at once, up to its slots; everything else waits in one line
 * whose head loads while all behind it wait; room is made by unloading what has been idle longest, never what is busy. All
 * streams of a node share its compute: with k of them each runs at k^-0.7 of full speed.
 */
import type { EventQueue } from './event-queue.ts'
import { trueLoadMs, type ModelSpec, type NodeSpec } from './workload.ts'

/** One request as the node sees it. A job without `tokens` only loads its model. */
export interface Job {
  readonly model: ModelSpec
  readonly conversation: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly loadOnly: boolean
  onLoad(loadMs: number): void
  /** Its model is in memory; a free slot may still be missing. */
  onEnter(): void
  onStart(): void
  onFirstToken(): void
  onEnd(): void
}

interface Slot {
  conversation: number
  tokens: number
  usedAtMs: number
  busy: boolean
}

interface Stream {
  readonly job: Job
  readonly runner: ModelRunner
  readonly slot: Slot
  prefillLeft: number
  decodeLeft: number
}

interface ModelRunner {
  readonly model: ModelSpec
  readonly slots: readonly Slot[]
  readonly waiting: Job[]
  active: number
  idleSinceMs: number
}

const loadedMax = 3
const keepAliveMs = 5 * 60_000
const crowdingExponent = -0.7
/** Rounding leaves crumbs of work behind: at least this, and steps of the clock, which are coarse where virtual time is long (2e-6 ms after 100 days). */
const crumbMs = 1e-6
const crumbSteps = 4

export class OllamaNode {
  readonly spec: NodeSpec
  readonly #events: EventQueue
  readonly #slots: number
  readonly #loaded = new Map<string, ModelRunner>()
  readonly #pending: Job[] = []
  #streams: Stream[] = []
  #loading = false
  #advancedAtMs = 0
  #plan = 0
  loads = 0
  /** Called when a model left memory. */
  onUnload: (model: string, forRoom: boolean) => void = () => {}

  constructor(spec: NodeSpec, slots: number, events: EventQueue) {
    this.spec = spec
    this.#slots = slots
    this.#events = events
  }

  isLoaded(model: string): boolean {
    return this.#loaded.has(model)
  }

  submit(job: Job): void {
    const runner = this.#loaded.get(job.model.name)
    if (runner !== undefined) this.#enter(runner, job)
    else {
      this.#pending.push(job)
      this.#pump()
    }
  }

  #pump(): void {
    while (!this.#loading) {
      const head = this.#pending[0]
      if (head === undefined) return
      const runner = this.#loaded.get(head.model.name)
      if (runner !== undefined) {
        this.#pending.shift()
        this.#enter(runner, head)
      } else if (this.#makeRoom(head.model.sizeGb)) this.#load(head)
      else return
    }
  }

  #makeRoom(sizeGb: number): boolean {
    for (;;) {
      let usedGb = 0
      let victim: ModelRunner | null = null
      for (const runner of this.#loaded.values()) {
        usedGb += runner.model.sizeGb
        if (isIdle(runner) && (victim === null || runner.idleSinceMs < victim.idleSinceMs)) victim = runner
      }
      if (this.#loaded.size < loadedMax && usedGb + sizeGb <= this.spec.vramGb) return true
      if (victim === null) return false
      this.#unload(victim, true)
    }
  }

  #unload(runner: ModelRunner, forRoom: boolean): void {
    this.#loaded.delete(runner.model.name)
    this.onUnload(runner.model.name, forRoom)
  }

  #load(head: Job): void {
    this.#loading = true
    this.loads += 1
    const loadMs = trueLoadMs(head.model, this.spec)
    this.#events.after(loadMs, () => {
      const slots = Array.from({ length: this.#slots }, () => ({ conversation: -1, tokens: 0, usedAtMs: 0, busy: false }))
      const runner: ModelRunner = { model: head.model, slots, waiting: [], active: 0, idleSinceMs: this.#events.nowMs }
      this.#loaded.set(head.model.name, runner)
      this.#loading = false
      this.#pending.shift()
      head.onLoad(loadMs)
      this.#enter(runner, head)
      this.#pump()
    })
  }

  #enter(runner: ModelRunner, job: Job): void {
    job.onEnter()
    if (job.loadOnly) {
      if (isIdle(runner)) this.#becameIdle(runner)
      job.onEnd()
    } else if (runner.active < runner.slots.length) this.#start(runner, job)
    else runner.waiting.push(job)
  }

  #start(runner: ModelRunner, job: Job): void {
    const slot = chooseSlot(runner, job.conversation)
    const cachedTokens = slot.conversation === job.conversation ? Math.min(slot.tokens, job.promptTokens - 1) : 0
    slot.busy = true
    slot.conversation = job.conversation
    runner.active += 1
    this.#advance()
    const prefillLeft = (job.promptTokens - cachedTokens) * job.model.prefillMsPerToken + job.model.decodeMsPerToken
    this.#streams.push({ job, runner, slot, prefillLeft, decodeLeft: (job.outputTokens - 1) * job.model.decodeMsPerToken })
    job.onStart()
    this.#schedule()
  }

  #rate(): number {
    return this.spec.speed * this.#streams.length ** crowdingExponent
  }

  #advance(): void {
    const work = (this.#events.nowMs - this.#advancedAtMs) * this.#rate()
    this.#advancedAtMs = this.#events.nowMs
    if (this.#streams.length === 0) return
    for (const stream of this.#streams) {
      if (stream.prefillLeft > 0) stream.prefillLeft -= work
      else stream.decodeLeft -= work
    }
  }

  #schedule(): void {
    this.#plan += 1
    if (this.#streams.length === 0) return
    const plan = this.#plan
    const least = this.#streams.reduce(
      (min, { prefillLeft, decodeLeft }) => Math.min(min, prefillLeft > 0 ? prefillLeft : decodeLeft),
      Infinity,
    )
    this.#events.after(Math.max(0, least) / this.#rate(), () => {
      if (plan === this.#plan) this.#step()
    })
  }

  #step(): void {
    const prefilling = this.#streams.filter((stream) => stream.prefillLeft > 0)
    // Work that takes less than a step of the clock would never end.
    const crumb = Math.max(crumbMs, crumbSteps * this.#events.nowMs * Number.EPSILON * this.#rate())
    this.#advance()
    for (const stream of prefilling) {
      if (stream.prefillLeft > crumb) continue
      stream.prefillLeft = 0
      stream.job.onFirstToken()
    }
    const ended = this.#streams.filter((stream) => stream.prefillLeft <= 0 && stream.decodeLeft <= crumb)
    this.#streams = this.#streams.filter((stream) => !ended.includes(stream))
    for (const stream of ended) this.#end(stream)
    this.#schedule()
    if (ended.length > 0) this.#pump()
  }

  #end({ job, runner, slot }: Stream): void {
    slot.busy = false
    slot.tokens = job.promptTokens + job.outputTokens
    slot.usedAtMs = this.#events.nowMs
    runner.active -= 1
    const next = runner.waiting.shift()
    if (next !== undefined) this.#start(runner, next)
    else if (runner.active === 0) this.#becameIdle(runner)
    job.onEnd()
  }

  #becameIdle(runner: ModelRunner): void {
    const sinceMs = this.#events.nowMs
    runner.idleSinceMs = sinceMs
    this.#events.after(keepAliveMs, () => {
      const same = this.#loaded.get(runner.model.name) === runner
      if (same && isIdle(runner) && runner.idleSinceMs === sinceMs) this.#unload(runner, false)
    })
  }
}

function isIdle(runner: ModelRunner): boolean {
  return runner.active === 0 && runner.waiting.length === 0
}

/** The free slot that holds this conversation, else the one unused longest. */
function chooseSlot(runner: ModelRunner, conversation: number): Slot {
  let best: Slot | null = null
  for (const slot of runner.slots) {
    if (slot.busy) continue
    if (slot.conversation === conversation) return slot
    if (best === null || slot.usedAtMs < best.usedAtMs) best = slot
  }
  if (best === null) throw new Error('a request started without a free slot')
  return best
}
