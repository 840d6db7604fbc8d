/**
 * Writes one batch of usage: its rows and what it adds to the GPU counters, in one transaction that also notes the batch's id. A
 * batch whose commit was not confirmed is written again with the same id, finds it, and changes nothing: exactly once.
 */
import type { Database, Row, Transaction } from '../store/database.ts'
import type { StoredCounter } from './budget.ts'
import type { KeptText } from './kept-text.ts'
import type { UsageRecord } from './usage-record.ts'

export interface UsageBatch {
  /** Unique over all replicas. */
  readonly id: string
  readonly records: readonly UsageRecord[]
  /** Of some of the records. */
  readonly texts: readonly RecordText[]
  /** One for each counter: a statement may touch a row only once. */
  readonly spent: readonly StoredCounter[]
}

/** The words of a record, under its names. */
export interface RecordText extends KeptText, Pick<UsageRecord, 'tenant' | 'request' | 'at'> {}

/** Most counters read back in one go. */
const countersReadMax = 100_000

/** Writes the batch; gives the counters it touched as they stand in the store now. */
export function writeBatch(database: Database, { id, records, texts, spent }: UsageBatch): Promise<StoredCounter[]> {
  const sums = JSON.stringify(spent)
  return database.tx(
    'system',
    async (transaction) => {
      const { rowCount } = await transaction.query('insert into usage_batches (id, at) values ($1, now()) on conflict (id) do nothing', [
        id,
      ])
      if (rowCount === 0) return readTotals(transaction, sums)
      await transaction.query(insertRecords, [JSON.stringify(records)])
      if (texts.length > 0) await transaction.query(insertTexts, [JSON.stringify(texts)])
      const { rows } = await transaction.query(addToCounters, [sums])
      return rows.map(counterOf)
    },
    { name: 'write_usage' },
  )
}

/** Forgets the ids of batches that nobody can still be writing. */
export async function forgetBatches(database: Database): Promise<void> {
  await database.tx('system', (transaction) => transaction.query(`delete from usage_batches where at < now() - interval '1 day'`), {
    name: 'forget_usage_batches',
  })
}

/** Tables from which rows go when they are old. */
export type SweptTable = 'usage_records' | 'usage_texts'

/** Deletes at most `rowsMax` rows of before `before`; gives their number. */
export async function deleteOld(
  database: Database,
  table: SweptTable,
  { before, rowsMax }: { before: Date; rowsMax: number },
): Promise<number> {
  const text = `delete from ${table} where id in (select id from ${table} where at < $1::timestamptz order by at limit ${rowsMax})`
  const { rowCount } = await database.tx('system', (transaction) => transaction.query(text, [before.toISOString()]), {
    name: 'delete_old_usage',
  })
  return rowCount
}

/** The counters of two periods; only those changed within `changedWithinSeconds` when that is given. */
export async function readCounters(
  database: Database,
  [day, month]: readonly [day: string, month: string],
  changedWithinSeconds?: number,
): Promise<StoredCounter[]> {
  const recent = changedWithinSeconds === undefined ? '' : 'and updated_at > now() - make_interval(secs => $3)'
  const values = changedWithinSeconds === undefined ? [day, month] : [day, month, changedWithinSeconds]
  const text = `select tenant, place, period, gpu_us from gpu_usage where period in ($1, $2) ${recent} order by updated_at desc limit ${countersReadMax}`
  const { rows } = await database.tx('system', ({ last }) => last(text, values), {
    name: 'read_usage_counters',
    readOnly: true,
  })
  return rows.map(counterOf)
}

const insertRecords = `
insert into usage_records (tenant, subject, request, at, model, node, route, status, outcome, cache, prompt_tokens, output_tokens,
  cached_prompt_tokens, gpu_us, duration_ms, ttft_ms, stream, error, attempts, estimated,
  reason, queue_ms, retry_ms, load_ms, prompt_ms, output_ms)
select tenant, subject, request, to_timestamp(at / 1000.0), model, node, route, status, outcome, cache, prompt_tokens, output_tokens,
  cached_prompt_tokens, gpu_us, duration_ms, ttft_ms, stream, error, attempts, estimated,
  reason, queue_ms, retry_ms, load_ms, prompt_ms, output_ms
from jsonb_to_recordset($1::jsonb) as r (
  tenant text, subject text, request text, at double precision, model text, node text, route text, status integer, outcome text, cache text,
  prompt_tokens bigint, output_tokens bigint, cached_prompt_tokens bigint, gpu_us bigint,
  duration_ms bigint, ttft_ms bigint, stream boolean, error text, attempts integer,
  estimated boolean, reason text, queue_ms bigint, retry_ms bigint, load_ms bigint, prompt_ms bigint, output_ms bigint)`

const insertTexts = `
insert into usage_texts (tenant, request, at, prompt, prompt_cut, answer, answer_cut)
select tenant, request, to_timestamp(at / 1000.0), prompt, "isPromptCut", answer, "isAnswerCut" from jsonb_to_recordset($1::jsonb) as t (
  tenant text, request text, at double precision, prompt text, "isPromptCut" boolean, answer text, "isAnswerCut" boolean)`

/** In the order of the key, so that two replicas never wait for each other in a circle. */
const addToCounters = `
insert into gpu_usage (tenant, place, period, gpu_us, updated_at)
select tenant, place, period, "gpuUs", now() from jsonb_to_recordset($1::jsonb) as s (tenant text, place text, period text, "gpuUs" bigint)
order by tenant, place, period
on conflict (tenant, place, period) do update set gpu_us = gpu_usage.gpu_us + excluded.gpu_us, updated_at = now()
returning tenant, place, period, gpu_us`

async function readTotals(transaction: Transaction, sums: string): Promise<StoredCounter[]> {
  const { rows } = await transaction.query(
    `select g.tenant, g.place, g.period, g.gpu_us from gpu_usage g
     join jsonb_to_recordset($1::jsonb) as s (tenant text, place text, period text) using (tenant, place, period)`,
    [sums],
  )
  return rows.map(counterOf)
}

function counterOf({ tenant, place, period, gpu_us: gpuUs }: Row): StoredCounter {
  return { tenant: String(tenant), place: String(place), period: String(period), gpuUs: Number(gpuUs) }
}
