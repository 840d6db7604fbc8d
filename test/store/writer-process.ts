// A process that writes to the embedded store and says on stdout which rows were acknowledged: for tests that kill it.
import { systemClock } from '../../src/base/clock.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { storeOptions } from '../../src/store/options.ts'

const dataDir = process.argv[2]
if (dataDir === undefined) throw new Error('usage: writer-process FOLDER')
const deps = { clock: systemClock, random: Math.random, report: () => {} }
const database = createEmbedded({ ...storeOptions.parse({}), dataDir }, deps)
await database.open()
await database.tx('system', (transaction) => transaction.query('create table if not exists written (key bigint primary key)'))
const { rows } = await database.tx('system', (transaction) => transaction.query('select coalesce(max(key), 0)::int as last from written'))
for (let key = Number(rows[0]?.['last']) + 1; ; key += 1) {
  await database.tx('system', (transaction) => transaction.query('insert into written values ($1)', [key]))
  process.stdout.write(`${key}\n`)
}
