/**
 * The questions that workers ask each other through the process that watches them. Each ends once: when everyone has answered or is gone,
 * at the latest after `askMsMax`. What those counted who give no scrape is taken from their last one; else a counter would fall.
 */
import type { Clock } from '../base/clock.ts'
import type { PeerAnswer, PeerQuestion } from '../http/peers.ts'
import { mergeScrapes } from '../observe/merge-scrapes.ts'
import type { ToWorker } from './worker-messages.ts'

/** What is used here of a worker of `node:cluster`. */
export interface AskedWorker {
  readonly id: number
  isConnected(): boolean
  send(message: ToWorker, callback: (error: Error | null) => void): boolean
}

interface OpenQuestion {
  readonly kind: PeerQuestion['kind']
  /** Workers that have not answered. */
  readonly open: Set<number>
  readonly answers: PeerAnswer[]
  readonly end: () => void
}

export const askMsMax = 1_000

export class WorkerQuestions {
  readonly #clock: Clock
  readonly #open = new Map<number, OpenQuestion>()
  /** What each had counted at its last scrape, and all those who are gone. */
  readonly #scrapes = new Map<number, string>()
  #gone: string | null = null
  #lastNumber = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Tells a worker. Its channel may be closed before Node has noticed: then it is as good as gone. */
  tell(worker: AskedWorker, message: ToWorker): void {
    if (!worker.isConnected()) return this.noteSilent(worker.id)
    // Without a callback Node would emit an `error` that ends this process.
    worker.send(message, (error) => {
      if (error !== null) this.noteSilent(worker.id)
    })
  }

  ask(from: AskedWorker, others: readonly AskedWorker[], { id, question }: { readonly id: number; readonly question: PeerQuestion }): void {
    this.#lastNumber += 1
    const number = this.#lastNumber
    const answers: PeerAnswer[] = []
    const open = new Set(others.map((worker) => worker.id))
    // Of those who are gone by now: one that goes later is in the answers.
    const gone = this.#gone
    if (question.kind === 'scrape') this.#scrapes.set(from.id, question.own)
    const end = (): void => {
      if (!this.#open.delete(number)) return
      timer.cancel()
      if (question.kind === 'scrape') answers.push(...[...open].flatMap((worker) => this.#lastOf(worker)))
      if (question.kind === 'scrape' && gone !== null) answers.push({ gone })
      else if (open.size > 0) answers.push({ silent: open.size })
      this.tell(from, { kind: 'answers', id, answers })
    }
    const timer = this.#clock.after(askMsMax, end)
    this.#open.set(number, { kind: question.kind, open, answers, end })
    for (const worker of others) this.tell(worker, { kind: 'question', id: number, question })
    if (others.length === 0) end()
  }

  answered(worker: AskedWorker, { id, answer }: { readonly id: number; readonly answer: PeerAnswer }): void {
    if (answer.scrape !== undefined) this.#scrapes.set(worker.id, answer.scrape)
    const question = this.#open.get(id)
    if (question === undefined || !question.open.delete(worker.id)) return
    question.answers.push(answer)
    if (question.open.size === 0) question.end()
  }

  /** Nothing more comes from a worker: nobody waits for it any longer. */
  noteSilent(worker: number): void {
    for (const { kind, open, answers, end } of this.#open.values()) {
      if (!open.delete(worker)) continue
      if (kind === 'scrape') answers.push(...this.#lastOf(worker))
      if (open.size === 0) end()
    }
  }

  /** A worker has ended: what it had counted stays counted. */
  noteEnded(worker: number): void {
    this.noteSilent(worker)
    const last = this.#scrapes.get(worker)
    if (last === undefined) return
    this.#scrapes.delete(worker)
    this.#gone = this.#gone === null ? last : mergeScrapes([this.#gone], [last])
  }

  #lastOf(worker: number): PeerAnswer[] {
    const scrape = this.#scrapes.get(worker)
    return scrape === undefined ? [] : [{ scrape }]
  }
}
