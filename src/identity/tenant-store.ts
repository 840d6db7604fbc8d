/**
 * Tenants: their limits and whether they may be served at all. All of them are held in memory, since every token asks for the
 * limits of its tenant and may not wait; they are read again when the version of the store has moved on.
 */
import type { Clock } from '../base/clock.ts'
import type { Cursors } from '../base/cursors.ts'
import { CorralError } from '../core/errors.ts'
import { type LimitSet, noLimits, type Principal } from '../core/principal.ts'
import type { Database, Transaction, TransactionScope } from '../store/database.ts'
import type { AuditLog } from './audit-log.ts'
import { isOperator, operatorTenant } from './grants.ts'
import { decodeTenant, tenantColumns, type TenantView } from './key-rows.ts'
import { type Act, scopeOf } from './key-store.ts'
import type { Change } from './touched.ts'
import { moveVersion } from './version.ts'

/** Tenants of a page. */
export const tenantPageMax = 10_000
/** More are refused when they are made: all of them are held, some hundred bytes each. */
const tenantsMax = 200_000

export interface TenantChange {
  readonly title?: string | undefined
  readonly limits?: LimitSet | undefined
  readonly suspended?: boolean | undefined
}

/** Which tenants of a list are wanted. */
export interface PageWish {
  /** 1 to `tenantPageMax`, which is the default. */
  readonly limit?: number | undefined
  /** Cursor of the page before. */
  readonly before?: string | undefined
}

export interface TenantPage {
  readonly tenants: readonly TenantView[]
  /** For the page after; null: this is the last. */
  readonly next: string | null
}

export interface TenantStoreDeps {
  readonly database: Database
  readonly audit: AuditLog
  readonly clock: Clock
  readonly cursors: Cursors
  /** Hears of every change once it is stored. */
  readonly onChanged: (change: Change) => void
}

export class TenantStore {
  readonly #deps: TenantStoreDeps
  #known: ReadonlyMap<string, TenantView> = new Map()

  constructor(deps: TenantStoreDeps) {
    this.#deps = deps
  }

  /** Limits of a tenant, as last read. A tenant that only tokens name has none of its own. */
  readonly limitsOf = (tenant: string): LimitSet => this.#known.get(tenant)?.limits ?? noLimits

  readonly isSuspended = (tenant: string): boolean => (this.#known.get(tenant)?.suspendedAt ?? null) !== null

  /** Reads all tenants anew. */
  async load(): Promise<void> {
    const known = new Map<string, TenantView>()
    let after: string | null = null
    do {
      const page = await this.#page('system', after, tenantPageMax)
      for (const tenant of page.tenants) known.set(tenant.tenant, tenant)
      after = page.last
    } while (after !== null)
    this.#known = known
  }

  /** Makes the operator's own tenant when it is not there. */
  async ensureOperator(): Promise<void> {
    const values = [operatorTenant, JSON.stringify(noLimits), this.#now()]
    await this.#deps.database.tx(
      'system',
      (transaction) =>
        transaction.query(
          `insert into tenants (tenant, limits, created_at) values ($1, $2::jsonb, $3::timestamptz) on conflict do nothing`,
          values,
        ),
      { name: 'ensure_operator' },
    )
  }

  /** A page of the tenants that the caller may see, by name. Throws `invalid_request` for a cursor that was not made for this list. */
  async list(by: Principal, { limit = tenantPageMax, before }: PageWish = {}): Promise<TenantPage> {
    const list = [isOperator(by) ? null : by.tenant]
    const place = before === undefined ? [] : this.#deps.cursors.open(before, list)
    if (place === null) throw new CorralError('invalid_request', 'before: not a cursor of this list')
    const { tenants, last } = await this.#page(scopeOf(by), place[0] ?? null, limit)
    return { tenants, next: last === null ? null : this.#deps.cursors.make([last], list) }
  }

  /** Tenants behind the one named `after`, by name; `last`: of them, where there are more. */
  async #page(scope: TransactionScope, after: string | null, limit: number): Promise<{ tenants: TenantView[]; last: string | null }> {
    const query = (transaction: Transaction) => transaction.query(pageText, [after, limit + 1])
    const { rows } = await this.#deps.database.tx(scope, query, { name: 'list_tenants', readOnly: true })
    const tenants = rows.slice(0, limit).map(decodeTenant)
    return { tenants, last: rows.length > limit ? (tenants.at(-1)?.tenant ?? null) : null }
  }

  /** Makes a tenant, or changes the fields that are given. Only for the operator. */
  async put(tenant: string, { title, limits, suspended }: TenantChange, act: Act): Promise<TenantView> {
    if (!isOperator(act.by)) throw new CorralError('insufficient_scope', 'only the operator makes and changes tenants')
    if (tenant === operatorTenant && suspended === true) throw new CorralError('conflict', 'the operator cannot lock himself out')
    const changed = await this.#deps.database.tx(
      'system',
      async (transaction) => {
        const values = [
          tenant,
          title ?? null,
          limits === undefined ? null : JSON.stringify(limits),
          JSON.stringify(noLimits),
          suspended ?? null,
          this.#now(),
        ]
        await refuseOneTooMany(transaction, tenant)
        const { rows } = await transaction.query(putText, values)
        const version = await moveVersion(transaction)
        const what = suspended === true ? 'suspend tenant' : suspended === false ? 'resume tenant' : 'change tenant'
        const { requestId, address } = act
        const actor = act.by.subject ?? act.by.method
        await this.#deps.audit.append(transaction, { tenant, actor, action: what, target: tenant, decision: 'allowed', requestId, address })
        return { view: decodeTenant(rows[0] ?? {}), version }
      },
      { name: 'put_tenant' },
    )
    await this.load()
    this.#deps.onChanged({ version: changed.version, touched: { kind: 'tenant', tenant } })
    return changed.view
  }

  #now(): string {
    return new Date(this.#deps.clock.wallMs()).toISOString()
  }
}

async function refuseOneTooMany(transaction: Transaction, tenant: string): Promise<void> {
  const { rows } = await transaction.query(
    'select 1 from tenants having count(*) >= $2 and not exists (select 1 from tenants where tenant = $1)',
    [tenant, tenantsMax],
  )
  if (rows.length > 0) throw new CorralError('conflict', `there are ${tenantsMax} tenants, which is as many as there can be`)
}

const pageText = `select ${tenantColumns} from tenants where $1::text is null or tenant > $1 order by tenant limit $2`

const putText = `
insert into tenants (tenant, title, limits, created_at, suspended_at)
values ($1, coalesce($2, ''), coalesce($3::jsonb, $4::jsonb), $6::timestamptz, case when $5::boolean then $6::timestamptz end)
on conflict (tenant) do update set
  title = coalesce($2, tenants.title),
  limits = coalesce($3::jsonb, tenants.limits),
  suspended_at = case when $5::boolean is null then tenants.suspended_at when $5::boolean then coalesce(tenants.suspended_at, $6::timestamptz) end
returning ${tenantColumns}`
