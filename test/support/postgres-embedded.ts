/**
 * Data folders for the embedded store. Making a database takes seconds, so one is made per machine and version and copied; `unused`
 * folders are for tests that start from nothing. Folders go with the test file that asked.
 */
import { existsSync, mkdtempSync, renameSync, rmSync, cpSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { ensureDatabase } from '../../src/store/embedded-folder.ts'

const template = join(tmpdir(), `corral-test-pglite-0.5.14-${process.getuid?.() ?? 0}`)
const initdbTimeoutMs = 60_000

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** A folder with an empty database, as after a first start. */
export async function embeddedFolder(): Promise<string> {
  if (!existsSync(template)) {
    const unfinished = mkdtempSync(`${template}-`)
    await ensureDatabase(unfinished, { clock: systemClock, timeoutMs: initdbTimeoutMs })
    try {
      renameSync(unfinished, template)
    } catch {
      rmSync(unfinished, { recursive: true, force: true }) // another test file was faster
    }
  }
  const folder = unusedFolder()
  cpSync(template, folder, { recursive: true })
  return folder
}

/** An empty folder. */
export function unusedFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-store-'))
  folders.push(folder)
  return folder
}
