/**
 * The counters of purges in the database: what makes a purge hold for entries in layers that outlive this process, and on every
 * replica. Raising adds one on the server, so two replicas that purge at once both count.
 */
import { type Database, lookEveryMs } from '../store/database.ts'
import type { EpochStore } from './epochs.ts'

/** As many as one process holds (`epochs.ts`). */
const countersMax = 10_000

/** The counters in `cache_epochs` of `database`. */
export function createEpochStore(database: Database): EpochStore {
  return {
    lookEveryMs: lookEveryMs(database),
    load: () =>
      database.tx(
        'system',
        async ({ last }) => toCounters((await last(`select name, value from cache_epochs limit ${countersMax}`)).rows),
        { name: 'read_epochs', readOnly: true },
      ),
    raise: (names) =>
      database.tx(
        'system',
        async (transaction) => {
          const text = `insert into cache_epochs (name, value) select name, 1 from unnest($1::text[]) as name
          on conflict (name) do update set value = cache_epochs.value + 1 returning name, value`
          return toCounters((await transaction.query(text, [names.toSorted()])).rows)
        },
        { name: 'raise_epochs' },
      ),
  }
}

function toCounters(rows: readonly Readonly<Record<string, unknown>>[]): Record<string, number> {
  return Object.fromEntries(rows.map(({ name, value }) => [String(name), Number(value)]))
}
