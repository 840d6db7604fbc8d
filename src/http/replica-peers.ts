/**
 * The replicas on other machines, through the Redis that all share: a question is published to all of them, and each answers on a channel of
 * the one that asked. The bus may lose anything, so that nothing rests on it: a view shows who answered in time, and changes are in the store
 * (`admin/node-changes.ts`). Whoever may publish there may ask and cancel, as the shared Redis lets him do worse; he can add no node.
 */
import type { Clock } from '../base/clock.ts'
import { type RedisStore, skipped } from '../store/redis-store.ts'
import { acrossReplicas, answerAcross, answerMessage, type QuestionMessage, questionMessage } from './peer-shapes.ts'
import type { PeerAnswer, PeerQuestion, Peers } from './peers.ts'

/** A person looks, and the console once a second. */
const viewMsMax = 300
/** Whoever cancels or changes waits for it to be true everywhere. */
const changeMsMax = 1_000
/** Requests in an answer, some 400 bytes each. */
const requestsMax = 1_000
/** A command of this length takes a fast network some ten milliseconds, and Redis serves others on the same connection meanwhile. */
const answerBytesMax = 1_048_576

const askChannel = 'peers:ask'

interface ReplicaPeersDeps {
  readonly redis: Pick<RedisStore, 'state' | 'publish' | 'subscribe'>
  readonly clock: Clock
  /** Unique to this process. */
  readonly replica: string
  /** Common to the processes of this machine that serve together, which ask each other without Redis; so many are there. */
  readonly machine: string
  readonly workers: number
  /** Processes that are alive, as far as is known, those of this machine included. */
  readonly alive: () => number
}

interface OpenQuestion {
  /** By the replica. */
  readonly answers: Map<string, PeerAnswer>
  /** How many are waited for; infinite until it is known. */
  expected: number
  readonly end: () => void
}

type AnswerPeer = (question: PeerQuestion) => Promise<PeerAnswer>

class ReplicaPeers implements Peers {
  readonly #deps: ReplicaPeersDeps
  readonly #open = new Map<number, OpenQuestion>()
  readonly #stops: (() => void)[] = []
  #lastId = 0

  constructor(deps: ReplicaPeersDeps) {
    this.#deps = deps
  }

  /** From now on questions are asked, and those of others answered. */
  open(answer: AnswerPeer): void {
    const { redis, replica } = this.#deps
    this.#stops.push(
      redis.subscribe(askChannel, { onMessage: (message) => void this.#answer(message, answer) }),
      redis.subscribe(answerChannel(replica), { onMessage: (message) => this.#hear(message) }),
    )
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop()
  }

  async ask(asked: PeerQuestion): Promise<readonly PeerAnswer[]> {
    const question = acrossReplicas(asked)
    if (question === null) return []
    // Nothing can be heard before the channels are open.
    if (this.#stops.length === 0 || this.#deps.redis.state !== 'up') return [{ redisAway: true }]
    return this.#put(question)
  }

  async #put(question: QuestionMessage['question']): Promise<readonly PeerAnswer[]> {
    const { redis, clock, replica, machine } = this.#deps
    this.#lastId += 1
    const id = this.#lastId
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    const open: OpenQuestion = { answers: new Map(), expected: Infinity, end }
    this.#open.set(id, open)
    const isChange = question.kind === 'cancel' || question.kind === 'node-changed'
    const timer = clock.after(isChange ? changeMsMax : viewMsMax, end)
    try {
      const listeners = await redis.publish(askChannel, JSON.stringify({ from: replica, machine, id, question } satisfies QuestionMessage))
      if (listeners === skipped) return [{ redisAway: true }]
      open.expected = this.#othersOf(listeners)
      if (open.answers.size >= open.expected) end()
      await ended
      const silent = Math.max(0, open.expected - open.answers.size)
      return [...open.answers.values(), ...(silent === 0 ? [] : [{ silent }])]
    } finally {
      timer.cancel()
      this.#open.delete(id)
    }
  }

  /** One that has just started listens before it is known, and one behind another node of a Cluster is known without being counted here. */
  #othersOf(listeners: number): number {
    return Math.max(0, Math.max(listeners, this.#deps.alive()) - this.#deps.workers)
  }

  async #answer(message: string, answer: AnswerPeer): Promise<void> {
    const asked = questionMessage.safeParse(jsonOf(message))
    if (!asked.success || asked.data.machine === this.#deps.machine) return
    const { from, id, question } = asked.data
    const said = answerAcross(await answer(question), requestsMax)
    const text = JSON.stringify({ from: this.#deps.replica, id, answer: said })
    // Left unsaid, this replica counts as silent.
    if (Buffer.byteLength(text) <= answerBytesMax) void this.#deps.redis.publish(answerChannel(from), text)
  }

  #hear(message: string): void {
    const said = answerMessage.safeParse(jsonOf(message))
    if (!said.success) return
    const { from, id, answer } = said.data
    const open = this.#open.get(id)
    if (open === undefined) return
    open.answers.set(from, answer)
    if (open.answers.size >= open.expected) open.end()
  }
}

/** Null where no Redis is shared. */
export function createReplicaPeers(redis: ReplicaPeersDeps['redis'] | null, deps: Omit<ReplicaPeersDeps, 'redis'>): ReplicaPeers | null {
  return redis === null ? null : new ReplicaPeers({ ...deps, redis })
}

function answerChannel(replica: string): string {
  return `peers:answer:${replica}`
}

function jsonOf(message: string): unknown {
  try {
    return JSON.parse(message)
  } catch {
    // Somebody else's message on that channel.
    return undefined
  }
}
