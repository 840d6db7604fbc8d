/** Data folders for the embedded store, copied from what was made once (embedded-template.ts). They go with the test file that asked. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

import { embeddedTemplate, type TemplateKind } from './embedded-template.ts'

const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** A folder with all tables of Corral, as after a first start. */
export function embeddedFolder(): Promise<string> {
  return copyOf('migrated')
}

/** A folder with a database that has no tables yet: for tests of what makes them. */
export function bareFolder(): Promise<string> {
  return copyOf('bare')
}

async function copyOf(kind: TemplateKind): Promise<string> {
  const template = await embeddedTemplate(kind)
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
