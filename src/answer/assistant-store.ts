/**
 * Assistants in the database. Each change raises the row's revision, by which a client's edit of an old state is refused, and the common version,
 * by which replicas see it (`assistant-registry.ts`); a trigger does the latter in the same transaction.
 */
import type { Clock } from '../base/clock.ts'
import { type Assistant, assistantLimits, type AssistantWish } from '../core/assistant.ts'
import { CorralError } from '../core/errors.ts'
import type { Database, Transaction } from '../store/database.ts'
import { assistantColumns, assistantKey, decodeAssistant } from './assistant-wish.ts'

export interface AssistantStoreDeps {
  readonly database: Database
  readonly clock: Clock
  /** Hears of every change once it is stored. */
  readonly onChanged: () => void
}

export interface AssistantChange {
  readonly stored: Assistant
  /** What it replaced; null: it is new. */
  readonly before: Assistant | null
}

export class AssistantStore {
  readonly #deps: AssistantStoreDeps

  constructor(deps: AssistantStoreDeps) {
    this.#deps = deps
  }

  /** A page of a tenant's by name, those after `after`; null: the first. */
  list(tenant: string, { after, limit }: { readonly after: string | null; readonly limit: number }): Promise<readonly Assistant[]> {
    return this.#deps.database.tx(
      { tenant },
      async ({ last }) => {
        const { rows } = await last(
          `select ${assistantColumns} from rag_assistants where tenant = $1 and ($2::text is null or model_name > $2) order by model_name limit $3`,
          [tenant, after === null ? null : assistantKey(after), limit],
        )
        return rows.map(decodeAssistant)
      },
      { name: 'list_assistants', readOnly: true },
    )
  }

  /** Null: the tenant has none of this name. */
  get(tenant: string, name: string): Promise<Assistant | null> {
    return this.#deps.database.tx({ tenant }, (transaction) => find(transaction, [tenant, name]), { name: 'get_assistant', readOnly: true })
  }

  /**
   * Makes or replaces one. `revision`: what it must be now, 0 for not there yet, null for whatever it is.
   * Throws `precondition_failed` when it is another, `conflict` when the tenant has as many as it may.
   */
  async put(tenant: string, wish: AssistantWish, revision: number | null = null): Promise<AssistantChange> {
    const { database, clock, onChanged } = this.#deps
    const at = new Date(clock.wallMs())
    const change = await database.tx(
      { tenant },
      async (transaction) => {
        // Held to the end: two replacements of one state cannot both see it.
        const before = await find(transaction, [tenant, wish.name], 'for update')
        checkRevision(before, wish.name, revision)
        if (before === null) await checkRoom(transaction, tenant)
        return { stored: await write(transaction, { tenant, wish, at }), before }
      },
      { name: 'put_assistant' },
    )
    onChanged()
    return change
  }

  /** False: there was none. Throws `precondition_failed` when `revision` is not what it is now. */
  async remove(tenant: string, name: string, revision: number | null = null): Promise<boolean> {
    const removed = await this.#deps.database.tx(
      { tenant },
      async (transaction) => {
        const existing = await find(transaction, [tenant, name], 'for update')
        if (existing === null) return false
        checkRevision(existing, name, revision)
        await transaction.query('delete from rag_assistants where tenant = $1 and model_name = $2', [tenant, assistantKey(name)])
        return true
      },
      { name: 'remove_assistant' },
    )
    if (removed) this.#deps.onChanged()
    return removed
  }

  /** The common version: changes with every assistant of any tenant. */
  version(): Promise<string> {
    return this.#deps.database.tx(
      'system',
      async ({ last }) => String((await last('select version from rag_assistants_version')).rows[0]?.version),
      { name: 'read_assistant_version', readOnly: true },
    )
  }

  /** Of all tenants, at most `assistantLimits.total`. */
  all(): Promise<readonly Assistant[]> {
    return this.#deps.database.tx(
      'system',
      async ({ last }) => {
        const { rows } = await last(`select ${assistantColumns} from rag_assistants order by tenant, model_name limit $1`, [
          assistantLimits.total,
        ])
        return rows.map(decodeAssistant)
      },
      { name: 'list_all_assistants', readOnly: true },
    )
  }
}

async function find(
  { query }: Transaction,
  [tenant, name]: readonly [string, string],
  lock: '' | 'for update' = '',
): Promise<Assistant | null> {
  const { rows } = await query(`select ${assistantColumns} from rag_assistants where tenant = $1 and model_name = $2 ${lock}`, [
    tenant,
    assistantKey(name),
  ])
  const [row] = rows
  return row === undefined ? null : decodeAssistant(row)
}

function checkRevision(existing: Assistant | null, name: string, revision: number | null): void {
  const present = existing?.revision ?? 0
  if (revision !== null && revision !== present) {
    throw new CorralError('precondition_failed', `the assistant ${name} has revision ${present}, not ${revision}`)
  }
}

async function checkRoom({ query }: Transaction, tenant: string): Promise<void> {
  const { rows } = await query('select count(*)::int as count from rag_assistants where tenant = $1', [tenant])
  if (Number(rows[0]?.count) >= assistantLimits.perTenant) {
    throw new CorralError('conflict', `the tenant has ${assistantLimits.perTenant} assistants, as many as it may`)
  }
}

async function write(
  { query }: Transaction,
  { tenant, wish, at }: { readonly tenant: string; readonly wish: AssistantWish; readonly at: Date },
): Promise<Assistant> {
  const { rows } = await query(
    `insert into rag_assistants as a (tenant, model_name, name, title, collections, model, prompt, settings, created_at, updated_at)
     values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::jsonb, $9, $9)
     on conflict (tenant, model_name) do update set name = excluded.name, title = excluded.title, collections = excluded.collections,
       model = excluded.model, prompt = excluded.prompt, settings = excluded.settings, updated_at = excluded.updated_at, revision = a.revision + 1
     returning ${assistantColumns}`,
    [
      tenant,
      assistantKey(wish.name),
      wish.name,
      wish.title,
      JSON.stringify(wish.collections),
      wish.model,
      wish.prompt,
      JSON.stringify(wish.settings),
      at,
    ],
  )
  const [row] = rows
  if (row === undefined) throw new Error('an insert returned no row')
  return decodeAssistant(row)
}
