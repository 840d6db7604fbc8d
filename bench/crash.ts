/**
 * kill -9 of the process that ingests, at random moments: on the embedded store and on Postgres. After each kill the next process looks
 * whether every visible document is whole; after the last one, the newest accepted revision of each document must be what is found.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../src/base/clock.ts'
import { createEmbedded } from '../src/store/embedded.ts'
import { ensureDatabase } from '../src/store/embedded-folder.ts'
import type { OpenableDatabase } from '../src/store/openable.ts'
import { storeOptions } from '../src/store/options.ts'
import { createPostgres } from '../src/store/postgres.ts'
import { crashDocuments, documentOf, leftovers, visible } from '../test/ingest/crash-revisions.ts'
import { crashRounds, type CrashReport } from '../test/ingest/crash-rounds.ts'
import { hasPostgres, startPostgres } from '../test/support/postgres.ts'
import { type Bar, atMost, benchResult } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'

const initdbTimeoutMs = 120_000
const deps = { clock: systemClock, random: Math.random, report: () => {} }

interface Counted {
  readonly lost: number
  readonly broken: number
  readonly left: number
  readonly kills: number
  readonly revisions: number
}

async function count(database: OpenableDatabase, { accepted, broken, killed }: CrashReport, log: BenchOptions['log']): Promise<Counted> {
  for (const line of broken) log(line)
  await database.open()
  try {
    const seen = await visible(database)
    let lost = 0
    for (let back = 0; back < Math.min(crashDocuments, accepted); back += 1) {
      if (seen.get(documentOf(accepted - back))?.revision !== accepted - back) lost += 1
    }
    const left = Object.values(await leftovers(database)).reduce((sum, rows) => sum + rows, 0)
    return { lost, broken: broken.length, left, kills: killed, revisions: accepted }
  } finally {
    await database.close()
  }
}

async function onPostgres(kills: number, { log }: BenchOptions): Promise<Counted> {
  const server = await startPostgres()
  try {
    const { url } = await server.createDatabase()
    const report = await crashRounds({ kind: 'postgres', place: url, kills, random: Math.random, log: (line) => log(`Postgres: ${line}`) })
    return await count(createPostgres({ ...storeOptions.parse({}), url }, deps), report, log)
  } finally {
    await server.remove()
  }
}

async function onEmbedded(kills: number, { log }: BenchOptions): Promise<Counted> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-crash-'))
  try {
    await ensureDatabase(folder, { clock: systemClock, timeoutMs: initdbTimeoutMs })
    const report = await crashRounds({
      kind: 'embedded',
      place: folder,
      kills,
      random: Math.random,
      log: (line) => log(`embedded: ${line}`),
    })
    return await count(createEmbedded({ ...storeOptions.parse({}), dataDir: folder }, deps), report, log)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function bars(name: string, { lost, broken, left, kills }: Counted): Bar[] {
  return [
    atMost(`${name}, ${kills} kills: documents lost or old`, lost, 0),
    atMost(`${name}: documents doubled or half visible`, broken, 0),
    atMost(`${name}: rows left behind`, left, 0),
  ]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const kills = options.isQuick ? 10 : 200
  const results: Record<string, Counted> = {}
  if (hasPostgres() && 'postgres'.includes(options.only)) results['Postgres'] = await onPostgres(kills, options)
  if ('embedded'.includes(options.only)) results['embedded'] = await onEmbedded(kills, options)
  return benchResult('crash', options, {
    bars: Object.entries(results).flatMap(([name, counted]) => bars(name, counted)),
    data: { ...results },
  })
}
