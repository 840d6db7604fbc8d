/**
 * Listening to channels, on a connection of its own because a subscribed one is not for commands. It is opened by the first
 * listener. Redis delivers at most once and loses what is sent while the connection is away, so after every (re)connection
 * listeners are told of the gap: the bus is never what correctness rests on (reference/caching.md §6.5).
 */
import type { RedisClient } from './redis-client.ts'

export interface RedisListener {
  onMessage(message: string): void
  /** Listening began, or began again: anything may have been missed before. */
  onGap?(): void
}

export class RedisSubscriber {
  readonly #connect: () => RedisClient
  readonly #listeners = new Map<string, Set<RedisListener>>()
  #client: RedisClient | null = null
  #ready = false

  constructor(connect: () => RedisClient) {
    this.#connect = connect
  }

  /** Adds a listener; returns the way to remove it. */
  subscribe(channel: string, listener: RedisListener): () => void {
    const known = this.#listeners.get(channel)
    if (known !== undefined) {
      known.add(listener)
      if (this.#ready) listener.onGap?.()
    } else {
      this.#listeners.set(channel, new Set([listener]))
      if (this.#ready) this.#listen(channel)
      else this.#open()
    }
    return () => this.#remove(channel, listener)
  }

  close(): void {
    this.#listeners.clear()
    this.#client?.close()
  }

  #remove(channel: string, listener: RedisListener): void {
    const known = this.#listeners.get(channel)
    known?.delete(listener)
    if (known?.size !== 0) return
    this.#listeners.delete(channel)
    if (this.#ready) this.#client?.unsubscribe(channel).catch(ignoreLostConnection)
  }

  #open(): void {
    if (this.#client !== null) return
    const client = this.#connect()
    this.#client = client
    client.onReady(() => {
      this.#ready = true
      for (const channel of this.#listeners.keys()) this.#listen(channel)
    })
    client.onLost(() => {
      this.#ready = false
    })
    client.onMessage((channel, message) => {
      for (const listener of this.#listeners.get(channel) ?? []) listener.onMessage(message)
    })
    client.connect()
  }

  #listen(channel: string): void {
    const gap = (): void => {
      for (const listener of this.#listeners.get(channel) ?? []) listener.onGap?.()
    }
    this.#client?.subscribe(channel).then(gap, () => {
      if (this.#ready) this.#client?.reconnect()
    })
  }
}

/** A connection that is lost has no subscriptions, so there is nothing left to undo. */
function ignoreLostConnection(): void {}
