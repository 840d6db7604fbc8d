/**
 * Tenants: their limits and whether they may be served at all. All of them are held in memory, since every token asks for the
 * limits of its tenant and may not wait; they are read again when the version of the store has moved on.
 */
import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { type LimitSet, noLimits, type Principal } from '../core/principal.ts'
import type { Database } from '../store/database.ts'
import type { AuditLog } from './audit-log.ts'
import { isOperator, operatorTenant } from './grants.ts'
import { decodeTenant, tenantColumns, type TenantView } from './key-rows.ts'
import { type Act, scopeOf } from './key-store.ts'
import type { Change } from './touched.ts'
import { moveVersion } from './version.ts'

/** Tenants held; more than that are refused when they are made. */
const tenantsMax = 10_000

export interface TenantChange {
  readonly title?: string | undefined
  readonly limits?: LimitSet | undefined
  readonly suspended?: boolean | undefined
}

export interface TenantStoreDeps {
  readonly database: Database
  readonly audit: AuditLog
  readonly clock: Clock
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
    const text = `select ${tenantColumns} from tenants order by tenant limit ${tenantsMax}`
    const { rows } = await this.#deps.database.tx('system', (transaction) => transaction.query(text), {
      name: 'load_tenants',
      readOnly: true,
    })
    this.#known = new Map(rows.map(decodeTenant).map((tenant) => [tenant.tenant, tenant]))
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

  /** Tenants that the caller may see, by name. */
  async list(by: Principal): Promise<readonly TenantView[]> {
    const text = `select ${tenantColumns} from tenants order by tenant limit ${tenantsMax}`
    const { rows } = await this.#deps.database.tx(scopeOf(by), (transaction) => transaction.query(text), {
      name: 'list_tenants',
      readOnly: true,
    })
    return rows.map(decodeTenant)
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

const putText = `
insert into tenants (tenant, title, limits, created_at, suspended_at)
values ($1, coalesce($2, ''), coalesce($3::jsonb, $4::jsonb), $6::timestamptz, case when $5::boolean then $6::timestamptz end)
on conflict (tenant) do update set
  title = coalesce($2, tenants.title),
  limits = coalesce($3::jsonb, tenants.limits),
  suspended_at = case when $5::boolean is null then tenants.suspended_at when $5::boolean then coalesce(tenants.suspended_at, $6::timestamptz) end
returning ${tenantColumns}`
