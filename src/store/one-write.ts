/** A client whose statements of one turn of the event loop go in one write: each write wakes up whoever stands at the other end. */
import { type Client } from 'pg'

import { type SqlClient } from './open-transaction.ts'

/**
 * Ends a connection that is not to be used again, whatever it still owes: its driver would wait for that first, and what has not been
 * sent must not reach the server any more.
 */
export function abandon(client: Client): void {
  client.end().catch(() => {})
  client.connection.stream.destroy()
}

export class OneWriteClient implements SqlClient {
  readonly #client: Client
  #isHeld = false

  constructor(client: Client) {
    this.#client = client
  }

  query(text: string, values?: unknown[]): ReturnType<SqlClient['query']> {
    if (!this.#isHeld) {
      const { stream } = this.#client.connection
      this.#isHeld = true
      stream.cork()
      process.nextTick(() => {
        this.#isHeld = false
        stream.uncork()
      })
    }
    return this.#client.query(text, values)
  }
}
