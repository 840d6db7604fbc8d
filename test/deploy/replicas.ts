/** Three gateways as processes of their own on one Postgres and one Redis, and users who ask them without a pause. */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

import { onTestFinished } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { type Running, start } from '../cli/corral.ts'
import { startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'

export interface Replica {
  readonly port: number
  running(): Running
  /** Starts it anew on its port; resolves when it is ready for traffic. */
  start(): Promise<void>
}

async function untilReady(running: Running, port: number): Promise<void> {
  for (;;) {
    if (running.child.exitCode !== null) throw new Error(`the replica ended: ${running.stderr}`)
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (ready) return
    await delay(10)
  }
}

export async function startReplicas(count: number, nodes: readonly string[]): Promise<Replica[]> {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.remove())
  const redis = await startRedis()
  const { url } = await postgres.createDatabase()
  const shared = { DATABASE_URL: url, REDIS_URL: redis.url, CORRAL_SECRET: randomBytes(32).toString('hex'), CORRAL_NODES: nodes.join(',') }
  const replicas: Replica[] = []
  for (let made = 0; made < count; made += 1) {
    const port = await freePort()
    let running: Running
    const replica: Replica = {
      port,
      running: () => running,
      async start() {
        running = start(['serve', '--set', 'store.enabled=true', '--port', String(port)], { env: shared })
        await untilReady(running, port)
      },
    }
    await replica.start()
    replicas.push(replica)
  }
  return replicas
}

export interface Tally {
  /** Answers that came whole. */
  good: number
  /** Broken off after the first frame had come: no one can send those again. */
  cut: number
  /** What a user saw who had got nothing yet. */
  readonly failed: string[]
}

export interface Users {
  readonly tally: Tally
  /** Resolves when so many more answers came whole. */
  served(more: number): Promise<void>
  /** Lets every user end the question at hand. */
  stop(): Promise<void>
}

async function ask(url: string, tally: Tally): Promise<void> {
  let begun = ''
  try {
    const body = JSON.stringify({ model: 'llama3.2:3b', prompt: 'Why is the sky blue, in a few words?', options: { num_predict: 12 } })
    const answer = await fetch(`${url}/api/generate`, { method: 'POST', body })
    if (answer.body === null) throw new Error('no body')
    const decoder = new TextDecoder()
    for await (const bytes of answer.body) begun += decoder.decode(bytes, { stream: true })
    const last: unknown = JSON.parse(begun.trim().split('\n').at(-1) ?? '')
    const done = answer.status === 200 && typeof last === 'object' && last !== null && 'done' in last && last.done === true
    if (done) tally.good += 1
    else throw new Error(`${answer.status}: ${begun.slice(0, 200)}`)
  } catch (error) {
    if (begun.startsWith('{"model"')) tally.cut += 1
    else tally.failed.push(error instanceof Error ? `${error.message}: ${String(error.cause)}` : String(error))
  }
}

/** So many users at once, each with a new question as soon as the last is answered. */
export function startUsers(url: string, count: number): Users {
  const tally: Tally = { good: 0, cut: 0, failed: [] }
  const stopping = new AbortController()
  const user = async (): Promise<void> => {
    while (!stopping.signal.aborted) await ask(url, tally)
  }
  const all = Promise.all(Array.from({ length: count }, user))
  return {
    tally,
    async served(more) {
      const wanted = tally.good + more
      while (tally.good < wanted && tally.failed.length < 100) await delay(5)
    },
    async stop() {
      stopping.abort()
      await all
    },
  }
}
