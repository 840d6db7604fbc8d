/** The driver's connection to the worker of the embedded store, and the upkeep that a server would do by itself. */
import pg, { type Client } from 'pg'

import { type Clock } from '../base/clock.ts'
import { EmbeddedStream } from './embedded-stream.ts'
import { type EmbeddedThread } from './embedded-thread.ts'

/** Over this a checkpoint is due (12 ms measured); recovery of 172 MB took 0.45 s. */
const logBytesMax = 64 * 1_048_576
const logSizeQuery = `select pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn) > ${logBytesMax} as is_due from pg_control_checkpoint()`

export interface Line {
  readonly thread: EmbeddedThread
  readonly client: Client
}

/** A driver on the worker; the worker ends when there is none. */
export async function connected(thread: EmbeddedThread): Promise<Line> {
  const stream = (): EmbeddedStream => new EmbeddedStream((bytes) => thread.exchange(bytes))
  const client = new pg.Client({ user: 'postgres', database: 'postgres', host: 'embedded', port: 0, ssl: false, pipeline: true, stream })
  // What happens to it is heard by the next statement.
  client.on('error', () => {})
  try {
    await client.connect()
    return { thread, client }
  } catch (error) {
    await thread.terminate()
    throw error
  }
}

/** A new driver on a worker whose transaction was given up; null when it does not answer in time or cannot roll back. */
export async function rolledBack(thread: EmbeddedThread, { clock, timeoutMs }: { clock: Clock; timeoutMs: number }): Promise<Line | null> {
  if (!(await thread.idle(clock, timeoutMs))) return null
  try {
    const line = await connected(thread)
    await line.client.query('rollback')
    return line
  } catch {
    return null // Postgres is in a state that only a new start can mend
  }
}

/** Ends the log of writes when it has grown long: PGlite has no process that would. */
export async function checkpointWhenDue(client: Client): Promise<void> {
  const { rows } = await client.query<{ is_due: boolean }>(logSizeQuery)
  if (rows[0]?.is_due === true) await client.query('checkpoint')
}
