/** Identity on a real embedded store, with a clock moved by hand and everything it tells collected. */
import { randomFillSync } from 'node:crypto'

import type { Clock, Timer } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { openPrincipal, type Principal } from '../../src/core/principal.ts'
import { createIdentity, type Identity, type IdentityDeps } from '../../src/identity/identity.ts'
import type { Act, KeyWish } from '../../src/identity/key-store.ts'
import { migrations } from '../../src/migrations.ts'
import { identityOptions } from '../../src/identity/options.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { testSecrets } from '../support/test-secrets.ts'

export const { secret } = testSecrets

/** Time that passes only by `pass`. Both clocks move together unless `jump` moves the wall. */
export class HandClock implements Clock {
  #nowMs = 1_000_000
  #wallMs = Date.parse('2026-11-25T12:00:00.000Z')
  #timers: { atMs: number; action: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#wallMs
  }

  after(delayMs: number, action: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, action }
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((each) => each !== timer)) }
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve))
  }

  /** That are set now. */
  get timers(): number {
    return this.#timers.length
  }

  /** Moves on and runs what is due. */
  pass(ms: number): void {
    this.#nowMs += ms
    this.#wallMs += ms
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs)
    for (const { action } of due) action()
  }
}

/** Counts transactions, and fails them while `down` is set. */
export class WatchedDatabase implements Database {
  readonly kind
  readonly #inner: Database
  transactions = 0
  #running = 0
  down: Error | null = null

  constructor(inner: Database) {
    this.#inner = inner
    this.kind = inner.kind
  }

  readonly tx: Database['tx'] = (scope, work, options) => {
    this.transactions += 1
    if (this.down !== null) return Promise.reject(this.down)
    this.#running += 1
    return this.#inner.tx(scope, work, options).finally(() => (this.#running -= 1))
  }

  /** Resolves when no transaction is under way, nor follows at once from one that was. */
  async rest(): Promise<void> {
    do await new Promise((done) => setImmediate(done))
    while (this.#running > 0)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

export interface Told {
  readonly decisions: string[]
  readonly failures: string[]
}

export interface Stand {
  readonly identity: Identity
  readonly database: WatchedDatabase
  readonly clock: HandClock
  readonly told: Told
}

export type Sections = Parameters<typeof identityOptions.parse>[0]

/** Identity in keys mode on `inner`, started. */
export async function standOn(inner: Database, sections: Sections = { mode: 'keys' }, deps: Partial<IdentityDeps> = {}): Promise<Stand> {
  await migrate(inner, migrations, systemClock)
  const database = new WatchedDatabase(inner)
  const clock = new HandClock()
  const told: Told = { decisions: [], failures: [] }
  const identity = createIdentity({
    options: identityOptions.parse(sections),
    database,
    secret,
    clock,
    fill: (bytes) => void randomFillSync(bytes),
    events: {
      decided: (method, result) => void told.decisions.push(`${method} ${result}`),
      upkeepFailed: (what, reason) => void told.failures.push(`${what}: ${reason}`),
    },
    fetchText: () => Promise.reject(new Error('no network in this test')),
    ...deps,
  })
  await identity.start()
  return { identity, database, clock, told }
}

/** The operator himself. */
export const operatorAct: Act = { by: openPrincipal, requestId: 'request-1', address: '127.0.0.1' }

export function actBy(by: Principal): Act {
  return { ...operatorAct, by }
}

export function wish(fields: Partial<KeyWish> = {}): KeyWish {
  return {
    tenant: 'local',
    title: 'a key',
    scopes: ['chat'],
    models: null,
    nodeGroup: null,
    cache: null,
    limits: openPrincipal.limits,
    lifeMs: 86_400_000,
    publicKey: null,
    ...fields,
  }
}

/** Makes a key and returns its text. */
export async function newKey({ identity }: Pick<Stand, 'identity'>, fields: Partial<KeyWish> = {}): Promise<string> {
  const { text } = await identity.keys.create(wish(fields), operatorAct)
  if (text === null) throw new Error('no key text')
  return text
}

const parts = { method: 'GET', path: '/api/tags', query: '' }

/** What a token is worth: `granted`, or why not. */
export async function judge({ identity }: Pick<Stand, 'identity'>, text: string): Promise<string> {
  const verdict = await identity.authenticate({ kind: 'token', text }, parts)
  return verdict.kind === 'denied' ? verdict.reason : verdict.kind === 'undecided' ? verdict.error.code : verdict.kind
}
