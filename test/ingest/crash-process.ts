// A process that ingests until it is killed: `crash-process KIND PLACE FIRST LAST`. On standard output it says what it finds broken in the store
// when it begins (`broken TEXT`), when it begins to work (`ready`), which revisions were accepted (`accepted N`), and, when LAST is accepted and no
// job is left, that it is at the end (`finished`).

import { systemClock } from '../../src/base/clock.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { storeOptions } from '../../src/store/options.ts'
import { createPostgres } from '../../src/store/postgres.ts'
import { brokenDocuments, documentOf, revisionText, sweepLater } from './crash-revisions.ts'
import { collection, play, prepareStore, submitted, tenant } from './pipeline-play.ts'

const [kind, place, first, last] = process.argv.slice(2)
if (place === undefined) throw new Error('usage: crash-process KIND PLACE FIRST LAST')
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const deps = { clock: systemClock, random: Math.random, report: () => {} }
const options = storeOptions.parse({})
const database =
  kind === 'embedded' ? createEmbedded({ ...options, dataDir: place }, deps) : createPostgres({ ...options, url: place }, deps)
await database.open()
const { rows } = await database.tx('system', (transaction) => transaction.query(`select to_regclass('rag_jobs') as jobs`))
if (rows[0]?.['jobs'] === null) await prepareStore(database)
for (const broken of await brokenDocuments(database)) say(`broken ${broken}`)

const played = play(database, { leaseMs: 400, pollMs: 50, attemptsMax: 100, retryDelayMsMax: 200 })
played.onEmbed = () => systemClock.sleep(15)
played.ingest.start()
say('ready')
for (let revision = Number(first); revision <= Number(last); revision += 1) {
  await submitted(played.ingest, documentOf(revision), revisionText(revision), { idempotencyKey: `revision ${revision}` })
  say(`accepted ${revision}`)
}
for (;;) {
  const { queued = 0, running = 0, paused = 0, failed = 0 } = await played.ingest.counts({ tenant, collection })
  if (failed > 0) say(`broken ${failed} jobs failed`)
  if (queued + running + paused === 0) break
  await systemClock.sleep(50)
}
await sweepLater(database, played.ingest)
await played.ingest.close()
for (const broken of await brokenDocuments(database)) say(`broken ${broken}`)
await database.close()
say('finished')
