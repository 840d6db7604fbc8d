/**
 * A worker's side of the channel to the process that watches it: its place among the workers, the orders to stop and to reload, and the
 * questions of the others. Signals that a terminal sends to the whole group are the watcher's to judge; one whose watcher is gone stops.
 */
import cluster from 'node:cluster'

import type { PeerAnswer, PeerQuestion, Peers } from '../http/peers.ts'
import type { WorkerPlace } from '../config/worker-share.ts'
import { CliError, exitCodes } from './exit-code.ts'
import type { FromWorker, ToWorker } from './worker-messages.ts'

interface Orders {
  readonly stop: () => void
  readonly reload: () => void
}

export interface WorkerChannel {
  readonly place: WorkerPlace
  /** Common to the workers of this machine. */
  readonly machine: string
  readonly peers: Peers
  /** From now on the others' questions are answered. */
  open(answer: (question: PeerQuestion) => Promise<PeerAnswer>): void
  /** Tells the watcher that this one serves, and obeys: first the orders that came meanwhile. */
  follow(orders: Orders): void
  /** Lets go of the watcher, so that a worker that cannot serve comes to its end. */
  leave(): void
}

function send(message: FromWorker): void {
  // Without a callback Node would throw what could not be written, and `disconnect` says it anyway.
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

/** The other workers, by way of the watcher. */
class WatchedPeers implements Peers {
  readonly #asked = new Map<number, (answers: readonly PeerAnswer[]) => void>()
  #lastId = 0

  ask(question: PeerQuestion): Promise<readonly PeerAnswer[]> {
    if (!process.connected) return Promise.resolve([])
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((answered) => {
      this.#asked.set(id, answered)
      send({ kind: 'ask', id, question })
    })
  }

  hear({ id, answers }: Extract<ToWorker, { kind: 'answers' }>): void {
    this.#asked.get(id)?.(answers)
    this.#asked.delete(id)
  }

  /** Nobody passes an answer on any longer. */
  end(): void {
    for (const answered of this.#asked.values()) answered([])
    this.#asked.clear()
  }
}

/** Null where this process is no worker. */
export async function joinWorkers(): Promise<WorkerChannel | null> {
  const { worker } = cluster
  if (worker === undefined) return null
  // Else Node ends a worker at once, streams and all, when its watcher is gone.
  worker.exitedAfterDisconnect = true
  const peers = new WatchedPeers()
  const early: (keyof Orders)[] = []
  let orders: Orders | null = null
  const obey = (order: keyof Orders): void => {
    if (orders === null) early.push(order)
    else orders[order]()
  }
  const { promise, resolve, reject } = Promise.withResolvers<Extract<ToWorker, { kind: 'place' }>>()
  process.on('message', (message: ToWorker) => {
    if (message.kind === 'place') resolve(message)
    if (message.kind === 'stop' || message.kind === 'reload') obey(message.kind)
    if (message.kind === 'answers') peers.hear(message)
  })
  process.once('disconnect', () => {
    reject(new CliError(exitCodes.failure, 'the process that started this worker is gone'))
    peers.end()
    obey('stop')
  })
  send({ kind: 'hello' })
  const { index, count, machine } = await promise
  return {
    place: { index, count },
    machine,
    peers,
    open(answer) {
      process.on('message', (message: ToWorker) => {
        if (message.kind !== 'question') return
        void answer(message.question).then((said) => send({ kind: 'answer', id: message.id, answer: said }))
      })
      send({ kind: 'open' })
    },
    follow(given) {
      orders = given
      process.on('SIGINT', () => {})
      process.on('SIGHUP', () => {})
      process.on('SIGTERM', given.stop)
      send({ kind: 'serving' })
      for (const order of early.splice(0)) given[order]()
    },
    leave() {
      if (process.connected) process.disconnect?.()
    },
  }
}
