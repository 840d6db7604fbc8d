/** The embedded store of a test in this process, and a process of its own that writes to one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished } from 'vitest'

import { type Database } from '../../src/store/database.ts'
import { type Embedded } from '../../src/store/embedded.ts'
import { embeddedOn } from './stores.ts'

/** Opens the store until the end of the test. */
export async function opened(dataDir: string): Promise<Embedded> {
  const database = embeddedOn(dataDir)
  await database.open()
  onTestFinished(() => database.close())
  return database
}

/** Rows in `written`. */
export const count = async (database: Database): Promise<number> =>
  Number((await database.tx('system', (transaction) => transaction.query('select count(*) as count from written'))).rows[0]?.['count'])

/** Starts a process that writes to `dataDir`; `acknowledged` grows with what it says. */
export function startWriter(dataDir: string): { child: ChildProcess; acknowledged: number[]; wrote: (rows: number) => Promise<void> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer-process.ts'), dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const acknowledged: number[] = []
  const { stdout } = child
  if (stdout === null) throw new Error('no stdout')
  createInterface({ input: stdout }).on('line', (line) => acknowledged.push(Number(line)))
  const wrote = async (rows: number): Promise<void> => {
    await expect.poll(() => acknowledged.length, { timeout: 15_000, interval: 10 }).toBeGreaterThanOrEqual(rows)
  }
  return { child, acknowledged, wrote }
}
