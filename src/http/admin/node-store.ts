/**
 * Changes of nodes by hand that outlive a process and hold for all replicas: one row for each node that differs from the file. A node that
 * was added may carry a credential, so the change is sealed under the installation's secret.
 */
import { z } from 'zod'

import type { RowStore } from '../../base/followed-rows.ts'
import type { NodeChange } from '../../fleet/by-hand.ts'
import { nodeOptions } from '../../fleet/options.ts'
import type { Database } from '../../store/database.ts'
import type { Migration } from '../../store/migration.ts'
import { createRowStore } from '../../store/row-store.ts'
import { Seal } from '../auth/seal.ts'

/** Of 1400–1499, which `switch-store.ts` begins. It holds no tenant's data. */
export const nodeMigrations: readonly Migration[] = [
  {
    number: 1401,
    name: 'changes of nodes by hand',
    sql: `
create table node_changes (
  name text primary key,
  sealed text not null,
  in_force_at timestamptz not null
);`,
  },
]

const changeShape = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('added'), node: nodeOptions, listed: nodeOptions.nullable(), draining: z.boolean() }),
  z.object({ kind: z.literal('removed'), listed: nodeOptions }),
  z.object({ kind: z.literal('drained') }),
])

const rowShape = z.object({ name: z.string(), sealed: z.string() })

export interface NodeStore extends RowStore<NodeChange> {
  /** Says which changes are in force here, and forgets those that were in force nowhere for long. */
  tend(inForce: readonly string[]): Promise<void>
}

/** Null where nothing is kept. */
export function createNodeStore(stores: { readonly database: Database | null; readonly secret: string } | undefined): NodeStore | null {
  if (stores === undefined || stores.database === null) return null
  const { database, secret } = stores
  const seal = new Seal(secret, 'changes of nodes by hand')
  const rows = createRowStore<NodeChange>(database, {
    table: 'node_changes',
    names: { read: 'read_node_changes', write: 'write_node_change' },
    selectText: 'select name, sealed from node_changes',
    decode(row) {
      const { name, sealed } = rowShape.parse(row)
      // What another version kept, or was sealed under another secret, counts for nothing.
      const change = changeShape.safeParse(seal.open(sealed))
      return change.success ? [name, change.data] : null
    },
    upsertText: `insert into node_changes (name, sealed, in_force_at) values ($1, $2, now())
      on conflict (name) do update set sealed = excluded.sealed, in_force_at = excluded.in_force_at`,
    valuesOf: (change) => [seal.seal(change)],
  })
  return {
    ...rows,
    tend: (inForce) =>
      database.tx(
        'system',
        async (transaction) => {
          const noted = `update node_changes set in_force_at = now() where name = any($1::text[]) and in_force_at < now() - interval '1 minute'`
          await transaction.query(noted, [inForce])
          const forgotten = `delete from node_changes where name <> all($1::text[]) and in_force_at < now() - interval '10 minutes'`
          await transaction.query(forgotten, [inForce])
        },
        { name: 'tend_node_changes' },
      ),
  }
}
