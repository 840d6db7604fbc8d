/**
 * Databases that are made once and copied: initdb takes ten seconds of a core and the whole schema two more, a copy takes a tenth.
 * One without tables and one with all of them, kept in the machine's temporary folder under names that say what is in them, so that another
 * version or another migration makes new ones. They come into being whole, by a rename.
 */
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { ensureDatabase } from '../../src/store/embedded-folder.ts'
import { checksumOf, migrate } from '../../src/store/migrate.ts'
import { storeOptions } from '../../src/store/options.ts'

const project = join(import.meta.dirname, '../..')
/** Also on a machine that does several other things at once. */
const makingMsMax = 120_000

/** `bare` has no tables, `migrated` all that Corral has. */
export type TemplateKind = 'bare' | 'migrated'

/** The path of a template, which is made where it is missing. Nothing may be written there. */
export async function embeddedTemplate(kind: TemplateKind): Promise<string> {
  const place = join(tmpdir(), `corral-test-pglite-${process.getuid?.() ?? 0}-${kind}-${contentsOf(kind)}`)
  if (existsSync(place)) return place
  const unfinished = mkdtempSync(`${place}-`)
  await (kind === 'bare' ? ensureDatabase(unfinished, { clock: systemClock, timeoutMs: makingMsMax }) : makeMigrated(unfinished))
  try {
    renameSync(unfinished, place)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!existsSync(place)) throw error // else another run was faster
  }
  return place
}

async function makeMigrated(folder: string): Promise<void> {
  cpSync(await embeddedTemplate('bare'), folder, { recursive: true })
  const defaults = storeOptions.parse({})
  const options = { ...defaults, dataDir: folder, embedded: { ...defaults.embedded, openTimeoutMs: makingMsMax } }
  const database = createEmbedded(options, { clock: systemClock, random: Math.random, report: console.error })
  await database.open()
  await migrate(database, migrations, systemClock)
  await database.close()
}

/** What a template of this kind is made from, in short. */
function contentsOf(kind: TemplateKind): string {
  const hash = createHash('sha256')
  const sources = ['pglite', 'pglite-pgvector'].map((name) => `node_modules/@electric-sql/${name}/package.json`)
  for (const file of [...sources, 'src/store/pglite.ts', 'src/store/migrate.ts']) hash.update(readFileSync(join(project, file)))
  if (kind === 'migrated') for (const migration of migrations) hash.update(`${migration.number} ${checksumOf(migration)}\n`)
  return hash.digest('hex').slice(0, 12)
}
