/** A client whose statements of one turn of the event loop go in one write: each write wakes up whoever stands at the other end. */
import { type Client } from 'pg'

import { type SqlClient } from './open-transaction.ts'

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
