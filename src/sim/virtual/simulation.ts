/**
 * One simulated run: conversations arrive, the ranking under test sends each turn to a node, and the time to its first token is
 * noted. `immediate` binding sends at once and lets requests wait inside the nodes, as most gateways do; `central`
 * binding keeps them in one line per model and starts loads itself, as Corral's admission does.
 */
import { EventQueue } from './event-queue.ts'
import type { Ranker } from './baselines.ts'
import { Knowledge, type Pricing } from './knowledge.ts'
import type { Learner, NodeView } from './node-view.ts'
import { OllamaNode } from './ollama-node.ts'
import { seededRandom } from './random.ts'
import type { Conversation, ModelSpec, NodeSpec, Turn } from './workload.ts'

export interface RunOptions {
  readonly nodes: readonly NodeSpec[]
  readonly models: readonly ModelSpec[]
  readonly conversations: readonly Conversation[]
  /** What the node really does at once per model; a learner has to find out. */
  readonly slotsOf: (node: string) => number
  /** For what the ranking leaves to chance. */
  readonly seed: number
  readonly ranker: Ranker
  readonly pricing: Pricing
  readonly newLearner: (node: string, model: string) => Learner
  readonly binding: 'immediate' | 'central'
  /** Requests that wait in the lines of `central` binding at most; one more is refused. */
  readonly waitingMax: number
  readonly lengthMs: number
  /** Requests that arrive earlier are not counted, nor are loads. */
  readonly warmUpMs: number
}

export interface RunResult {
  /** Arrival to first token, of every counted request. */
  readonly ttftMs: readonly number[]
  /** Arrival to the start in a slot, loads included, of every counted request that started. */
  readonly waitMs: readonly number[]
  readonly coldLoadsPerHour: number
  /** Loads of the whole run. */
  readonly coldLoads: number
  readonly refused: number
  /** Requests by the node that they were sent to. */
  readonly requestsByNode: ReadonlyMap<string, number>
}

interface Request {
  readonly conversation: Conversation
  readonly turn: Turn
  readonly turnIndex: number
  readonly arrivedAtMs: number
}

/** An overloaded run is cut this long after the last arrival; what waits then counts with its wait so far. */
const drainMs = 2 * 3_600_000
const meanOutputWeight = 0.05

export function simulate(options: RunOptions): RunResult {
  const run = new Run(options)
  return run.result()
}

class Run {
  readonly #options: RunOptions
  readonly #events = new EventQueue()
  readonly #knowledge: Knowledge
  readonly #nodes = new Map<string, OllamaNode>()
  readonly #lines = new Map<string, Request[]>()
  readonly #outputTokens = new Map<string, number>()
  readonly #random: () => number
  readonly #open = new Set<Request>()
  readonly #ttftMs: number[] = []
  readonly #waitMs: number[] = []
  readonly #sent = new Map<string, number>()
  #waiting = 0
  #refused = 0
  #loadsAtWarmUp = 0
  #loadsAtEnd = 0

  constructor(options: RunOptions) {
    const { nodes, models, conversations, seed, pricing, newLearner } = options
    this.#options = options
    this.#random = seededRandom(seed + 1_000_003)
    this.#knowledge = new Knowledge(nodes, models, { newLearner, pricing })
    for (const spec of nodes) this.#addNode(new OllamaNode(spec, options.slotsOf(spec.name), this.#events))
    for (const conversation of conversations) {
      this.#events.after(conversation.startsAtMs, () => this.#arrive(conversation, 0))
    }
  }

  #addNode(node: OllamaNode): void {
    this.#nodes.set(node.spec.name, node)
    node.onUnload = (model, forRoom) => {
      const { name } = node.spec
      this.#knowledge.noteUnloaded(this.#knowledge.view(name, model), forRoom ? this.#knowledge.loadingOn(name) : null)
    }
  }

  result(): RunResult {
    const { warmUpMs, lengthMs } = this.#options
    this.#events.after(warmUpMs, () => (this.#loadsAtWarmUp = this.#loads()))
    this.#events.after(lengthMs, () => (this.#loadsAtEnd = this.#loads()))
    this.#events.runUntil(lengthMs + drainMs)
    for (const request of this.#open) this.#noteFirstToken(request, lengthMs + drainMs)
    const hours = (lengthMs - warmUpMs) / 3_600_000
    return {
      ttftMs: this.#ttftMs,
      waitMs: this.#waitMs,
      coldLoadsPerHour: (this.#loadsAtEnd - this.#loadsAtWarmUp) / hours,
      coldLoads: this.#loads(),
      refused: this.#refused,
      requestsByNode: this.#sent,
    }
  }

  #loads(): number {
    let loads = 0
    for (const node of this.#nodes.values()) loads += node.loads
    return loads
  }

  #arrive(conversation: Conversation, turnIndex: number): void {
    const turn = conversation.turns[turnIndex]
    if (turn === undefined) return
    const request: Request = { conversation, turn, turnIndex, arrivedAtMs: this.#events.nowMs }
    const model = conversation.model.name
    this.#options.pricing.wanted(model, this.#events.nowMs)
    this.#open.add(request)
    if (this.#options.binding === 'immediate') {
      const [view] = this.#rank(request, 0)
      if (view !== undefined) this.#send(view, request)
      return
    }
    this.#line(model).push(request)
    this.#waiting += 1
    this.#serve(model)
    if (this.#waiting > this.#options.waitingMax) this.#refuse(request)
  }

  /** The last that came: it stands at the end of its line. */
  #refuse(request: Request): void {
    this.#line(request.conversation.model.name).pop()
    this.#open.delete(request)
    this.#waiting -= 1
    this.#refused += 1
  }

  #line(model: string): Request[] {
    const line = this.#lines.get(model) ?? []
    this.#lines.set(model, line)
    return line
  }

  #rank({ conversation, turn }: Request, queuedAhead: number): readonly NodeView[] {
    const { model, id } = conversation
    const views = this.#knowledge.refresh(model.name, id, this.#events.nowMs)
    const outputTokens = this.#outputTokens.get(model.name) ?? 200
    const stickyNode = this.#knowledge.stickyNode(id)
    return this.#options.ranker(views, { promptTokens: turn.promptTokens, outputTokens, queuedAhead, stickyNode }, this.#random)
  }

  /** Serves the line of a model as far as places are free; each waiter that must wait may set off a load. */
  #serve(model: string): void {
    const line = this.#line(model)
    for (let at = 0; at < line.length;) {
      const request = line[at]
      const view = request === undefined ? null : this.#claim(request, at, line.length)
      if (request === undefined || view === null) at += 1
      else {
        line.splice(at, 1)
        this.#waiting -= 1
        this.#send(view, request)
      }
    }
  }

  #claim(request: Request, queuedAhead: number, waiting: number): NodeView | null {
    for (const view of this.#rank(request, queuedAhead)) {
      const free = view.residency !== 'loading' && view.inFlight < view.slots
      if (view.residency === 'resident') return free ? view : null
      if (view.residency === 'cold') this.#startLoad(view, request, waiting)
    }
    return null
  }

  #startLoad(view: NodeView, { conversation: { model } }: Request, waiting: number): void {
    let coming = 0
    for (const other of this.#knowledge.viewsOf(model.name)) if (other.residency === 'loading') coming += other.slots
    if (coming >= waiting) return
    this.#knowledge.noteSent(view, true, this.#events.nowMs)
    this.#nodes.get(view.node)?.submit({
      model,
      conversation: -1,
      promptTokens: 0,
      outputTokens: 0,
      loadOnly: true,
      onLoad: (loadMs) => this.#knowledge.noteLoaded(view, loadMs, this.#events.nowMs),
      onEnter: () => {},
      onStart: () => {},
      onFirstToken: () => {},
      onEnd: () => this.#serve(model.name),
    })
  }

  #send(view: NodeView, request: Request): void {
    const { conversation, turn } = request
    const { promptTokens, outputTokens } = turn
    this.#knowledge.noteSent(view, false, this.#events.nowMs)
    this.#sent.set(view.node, (this.#sent.get(view.node) ?? 0) + 1)
    const sentAtMs = this.#events.nowMs
    const inFlightAtDispatch = view.inFlight
    let enteredAtMs = 0
    let startedAtMs = 0
    let firstTokenAtMs = 0
    this.#nodes.get(view.node)?.submit({
      model: conversation.model,
      conversation: conversation.id,
      promptTokens,
      outputTokens,
      loadOnly: false,
      onLoad: (loadMs) => this.#knowledge.noteLoaded(view, loadMs, this.#events.nowMs),
      onEnter: () => (enteredAtMs = this.#events.nowMs),
      onStart: () => {
        startedAtMs = this.#events.nowMs
        if (request.arrivedAtMs >= this.#options.warmUpMs) this.#waitMs.push(startedAtMs - request.arrivedAtMs)
      },
      onFirstToken: () => {
        firstTokenAtMs = this.#events.nowMs
        this.#noteFirstToken(request, firstTokenAtMs)
      },
      onEnd: () => {
        const { nowMs } = this.#events
        view.learner.sawRequest({
          nowMs,
          inFlightAtDispatch,
          promptTokens,
          outputTokens,
          totalMs: nowMs - sentAtMs,
          loadMs: enteredAtMs - sentAtMs,
          prefillMs: firstTokenAtMs - startedAtMs,
          decodeMs: nowMs - firstTokenAtMs,
        })
        this.#end(view, request)
      },
    })
  }

  #noteFirstToken(request: Request, nowMs: number): void {
    this.#open.delete(request)
    if (request.arrivedAtMs >= this.#options.warmUpMs) this.#ttftMs.push(nowMs - request.arrivedAtMs)
  }

  #end(view: NodeView, { conversation, turn, turnIndex }: Request): void {
    const { name } = conversation.model
    const mean = this.#outputTokens.get(name) ?? turn.outputTokens
    this.#outputTokens.set(name, mean + meanOutputWeight * (turn.outputTokens - mean))
    const tokens = turn.promptTokens + turn.outputTokens
    this.#knowledge.noteEnd(view, { id: conversation.id, tokens }, this.#events.nowMs)
    const next = conversation.turns[turnIndex + 1]
    if (next !== undefined) this.#events.after(next.thinkMs, () => this.#arrive(conversation, turnIndex + 1))
    for (const model of this.#lines.keys()) this.#serve(model)
  }
}
