/**
 * Upkeep of the tables of vectors. A collection that has grown large gets a table to itself with an index over its vectors alone, so that
 * tenants influence neither each other's results nor their speed. The table is filled and indexed beside the old one, which blocks nobody;
 * then, under the lock that writers of the collection take, what changed meanwhile is brought over (a number's vector never changes, so
 * comparing numbers is enough) and the collection turns to it. The old rows stay until searches that began before have ended.
 *
 * On the embedded store nothing is built unless the collection is set to an index: a build takes ten times as long there, and nothing else
 * runs meanwhile.
 */
import { z } from 'zod'

import type { VectorIndexSettings } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Database, Row, Transaction } from '../store/database.ts'
import { exactRowsMax } from './plan.ts'
import {
  columnType,
  decodeSet,
  ensureTable,
  setColumns,
  tableName,
  type VectorSet,
  vectorIndexSettings,
  type VectorStorage,
} from './vector/tables.ts'

/** pgvector's own parameters of the build; a wider search than its 40, which is narrow for the 100 that a leg asks for. */
export const defaultIndex = { kind: 'hnsw', m: 16, efConstruction: 64, efSearch: 100 } as const satisfies VectorIndexSettings
/** A build of a million vectors takes some minutes. */
const buildLimits = { statementTimeoutMs: 1_800_000, transactionTimeoutMs: 1_900_000 }
const turnLimits = { statementTimeoutMs: 60_000, transactionTimeoutMs: 90_000 }
/** Searches are over by then; so is the time of a build that ended without its turn. */
const retiredSeconds = 120
const orphanSeconds = 7_200
/** Sets looked at in one round of upkeep. */
const setsPerRound = 50
const deletedPerStatement = 5_000
const deletesMax = 200
/** Of the server, for one build. */
const buildMemoryMaxBytes = 1_073_741_824
const buildMemoryMinBytes = 67_108_864
const mebibyte = 1_048_576
/** Smaller tables are read whole whatever the planner thinks. */
const analyzedFrom = 500

export interface BuildPlan {
  readonly set: VectorSet
  readonly index: VectorIndexSettings
  readonly storage: VectorStorage
}

export interface MaintainOptions {
  /** 8 random hex digits for the name of a new table. */
  readonly newSuffix: () => string
  /** Collections from this many vectors on get an index; default 20,000. */
  readonly indexFrom?: number
}

export interface Maintained {
  /** Collections that turned to a new table, by id. */
  readonly built: readonly string[]
  /** Rows of replaced tables that were removed. */
  readonly removed: number
}

/** One round: builds what is due, removes what was replaced. Called now and then; rounds of several processes do not hurt each other. */
export async function maintainVectors(database: Database, { newSuffix, indexFrom = exactRowsMax }: MaintainOptions): Promise<Maintained> {
  const built: string[] = []
  for (const plan of await dueBuilds(database, indexFrom)) {
    if (await rebuildVectors(database, plan, newSuffix())) built.push(plan.set.collection)
  }
  const removed = await removeRetired(database)
  await dropOrphans(database)
  await analyzeGrown(database)
  return { built, removed }
}

const dueRow = z.object({ wanted_index: z.unknown(), wanted_storage: z.enum(['full', 'half']).catch('full') })

async function dueBuilds(database: Database, indexFrom: number): Promise<BuildPlan[]> {
  const { rows } = await database.tx(
    'system',
    ({ query }) =>
      query(
        `select ${setColumns.replaceAll(/\w+/gu, 's.$&')}, c.settings -> 'vectorIndex' as wanted_index, c.settings ->> 'vectorStorage' as wanted_storage
        from rag_vector_sets s join rag_collections c on c.tenant = s.tenant and c.id = s.collection
        where s.state = 'live' and s.vectors >= $1 or s.state = 'live' and s.storage <> coalesce(c.settings ->> 'vectorStorage', 'full')
        order by s.vectors desc limit $2`,
        [indexFrom, setsPerRound],
      ),
    { name: 'due_builds' },
  )
  return rows.flatMap((row) => dueBuild(row, { store: database.kind, indexFrom }) ?? [])
}

function dueBuild(row: Row, { store, indexFrom }: { readonly store: Database['kind']; readonly indexFrom: number }): BuildPlan | null {
  const set = decodeSet(row)
  const { wanted_index: asked, wanted_storage: storage } = dueRow.parse(row)
  const chosen = vectorIndexSettings.safeParse(asked).data ?? (store === 'embedded' ? { kind: 'exact' as const } : defaultIndex)
  const index = set.vectors >= indexFrom ? chosen : { kind: 'exact' as const }
  if (set.storage === storage && (index.kind === 'exact' || isBuilt(set.index, index))) return null
  return { set, index, storage }
}

/** Whether the index that is there was built with these parameters; how it is searched may differ. */
function isBuilt(there: VectorIndexSettings | null, wanted: VectorIndexSettings): boolean {
  if (there?.kind === 'hnsw' && wanted.kind === 'hnsw') return there.m === wanted.m && there.efConstruction === wanted.efConstruction
  return there?.kind === 'ivfflat' && wanted.kind === 'ivfflat' && there.lists === wanted.lists
}

/**
 * Moves a collection's vectors into a table of its own, with an index. False when the collection turned elsewhere meanwhile. Throws what the
 * store throws; a table that was begun is then removed by upkeep.
 */
export async function rebuildVectors(database: Database, { set, index, storage }: BuildPlan, suffix: string): Promise<boolean> {
  const name = tableName({ ...set, storage }, suffix)
  await database.tx(
    'system',
    async (transaction) => {
      if (!(await ensureTable(transaction, { ...set, storage }, suffix)))
        throw new CorralError('operation_disabled', 'pgvector is not installed in this database')
      await copyVectors(transaction, { from: set, to: { name, dimensions: set.dimensions, storage } })
      await buildIndex(transaction, { name, index, vectors: set.vectors, dimensions: set.dimensions })
    },
    { name: 'rebuild_vectors', ...buildLimits },
  )
  return database.tx('system', (transaction) => turnTo(transaction, { set, name, index, storage }), {
    name: 'rebuild_vectors',
    ...turnLimits,
  })
}

export interface VectorCopy {
  readonly from: VectorSet
  readonly to: Pick<VectorSet, 'name' | 'dimensions' | 'storage'>
}

/** A table that was empty a moment ago is planned as one that stays so: row by row, what is there would be read again for each. */
const joinOnceSql = `select set_config('enable_nestloop', 'off', true)`

/** Copies a set's vectors into another table, those that are not there. */
export async function copyVectors(transaction: Transaction, { from, to }: VectorCopy): Promise<void> {
  await transaction.query(joinOnceSql)
  await transaction.query(copySql(from, to), [from.tenant, from.collection])
}

function copySql(set: VectorSet, { name, storage }: Pick<VectorSet, 'name' | 'storage'>): string {
  return `insert into ${name} (tenant, collection, number, embedding)
    select tenant, collection, number, embedding::${columnType({ ...set, storage })} from ${set.name} old where tenant = $1 and collection = $2
      and not exists (select from ${name} new where new.tenant = $1 and new.collection = $2 and new.number = old.number)`
}

export interface IndexBuild {
  readonly name: string
  readonly index: VectorIndexSettings
  readonly vectors: number
  readonly dimensions: number
}

/** Builds the index of a table in memory where it fits: beyond, HNSW builds slow down many times. */
export async function buildIndex(transaction: Transaction, { name, index, vectors, dimensions }: IndexBuild): Promise<void> {
  if (index.kind === 'exact') return
  const neededBytes = vectors * (dimensions * 4 + 400)
  const memoryBytes = Math.min(Math.max(neededBytes, buildMemoryMinBytes), buildMemoryMaxBytes)
  await transaction.query(`select set_config('maintenance_work_mem', $1, true)`, [`${Math.ceil(memoryBytes / mebibyte)}MB`])
  const first = index.kind === 'hnsw' ? index.m : index.lists
  const second = index.kind === 'hnsw' ? index.efConstruction : 0
  await transaction.query('select rag_vector_index($1, $2, $3, $4)', [name, index.kind, first, second])
}

interface Turn extends BuildPlan {
  readonly name: string
}

async function turnTo(transaction: Transaction, { set, name, index, storage }: Turn): Promise<boolean> {
  const place = [set.tenant, set.collection]
  await transaction.query('select from rag_collections where tenant = $1 and id = $2 for update', place)
  const retired = await transaction.query(
    `update rag_vector_sets set state = 'retired', changed_at = now()
      where tenant = $1 and collection = $2 and name = $3 and state = 'live' returning vectors`,
    [...place, set.name],
  )
  if (retired.rowCount === 0) {
    await transaction.query('select rag_vector_drop($1)', [name])
    return false
  }
  await transaction.query(joinOnceSql)
  await transaction.query(
    `delete from ${name} new where tenant = $1 and collection = $2
      and not exists (select from ${set.name} old where old.tenant = $1 and old.collection = $2 and old.number = new.number)`,
    place,
  )
  await copyVectors(transaction, { from: set, to: { name, dimensions: set.dimensions, storage } })
  await transaction.query(
    `insert into rag_vector_sets (tenant, collection, name, digest, dimensions, storage, vectors, index)
      select $1, $2, $3, $4, $5, $6, (select count(*) from ${name}), $7::jsonb`,
    [...place, name, set.digest, set.dimensions, storage, index.kind === 'exact' ? null : JSON.stringify(index)],
  )
  return true
}

/** Removes the rows that replaced tables hold, some at a time. */
async function removeRetired(database: Database): Promise<number> {
  const { rows } = await database.tx(
    'system',
    ({ query }) =>
      query(
        `select ${setColumns} from rag_vector_sets where state = 'retired' and changed_at < now() - make_interval(secs => $1) limit $2`,
        [retiredSeconds, setsPerRound],
      ),
    { name: 'remove_retired' },
  )
  let removed = 0
  for (const set of rows.map(decodeSet)) {
    for (let turn = 0; turn < deletesMax; turn += 1) {
      const gone = await database.tx('system', (transaction) => removeSome(transaction, set), { name: 'remove_retired' })
      removed += gone
      if (gone < deletedPerStatement) break
    }
  }
  return removed
}

/** Removes some rows of a replaced set, and its entry with the last of them. */
async function removeSome(transaction: Transaction, { tenant, collection, name }: VectorSet): Promise<number> {
  const place = [tenant, collection]
  const { rowCount } = await transaction.query(
    `delete from ${name} where ctid = any(array(select ctid from ${name} where tenant = $1 and collection = $2 limit $3))`,
    [...place, deletedPerStatement],
  )
  if (rowCount < deletedPerStatement) {
    await transaction.query(`delete from rag_vector_sets where tenant = $1 and collection = $2 and name = $3 and state = 'retired'`, [
      ...place,
      name,
    ])
  }
  return rowCount
}

/** Looks at tables that have twice the rows the planner takes them for: the embedded store has nobody else who does, a server is late. */
async function analyzeGrown(database: Database): Promise<void> {
  const { rows } = await database.tx(
    'system',
    ({ query }) =>
      query(
        `select s.name from rag_vector_sets s join pg_class c on c.relname = s.name and c.relkind = 'r' where s.state = 'live'
        group by s.name, c.reltuples having sum(s.vectors) >= $1 and sum(s.vectors) > 2 * greatest(c.reltuples, 0) limit $2`,
        [analyzedFrom, setsPerRound],
      ),
    { name: 'analyze_grown' },
  )
  for (const { name } of rows)
    await database.tx('system', ({ query }) => query('select rag_vector_analyze($1)', [name]), { name: 'analyze_grown' })
}

/** Drops tables of one collection that no collection uses: it was removed, or a build ended before its turn. */
async function dropOrphans(database: Database): Promise<void> {
  const { rows } = await database.tx(
    'system',
    ({ query }) =>
      query(
        `select t.name from rag_vector_tables t where t.created_at < now() - make_interval(secs => $1) and t.name ~ '_[0-9a-f]{8}$'
        and not exists (select from rag_vector_sets s where s.name = t.name) limit $2`,
        [orphanSeconds, setsPerRound],
      ),
    { name: 'drop_orphans' },
  )
  for (const { name } of rows)
    await database.tx('system', ({ query }) => query('select rag_vector_drop($1)', [name]), { name: 'drop_orphans' })
}
