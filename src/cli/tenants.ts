/** `corral tenants ls|set`: tenants of a running gateway, with their limits. */
import { z } from 'zod'

import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { everyPage } from './every-page.ts'
import { decode } from './keys.ts'
import { type LimitFlags, limitsOf } from './limit-flags.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'

const tenantView = z.object({
  tenant: z.string(),
  title: z.string(),
  limits: z.record(z.string(), z.number().nullable()),
  suspendedAt: z.string().nullable(),
})
/** A gateway of an older release gives one page and knows of no other. */
const tenantPage = z.object({ tenants: z.array(tenantView), next: z.string().nullable().default(null) })

/** Lists tenants. */
export async function tenantsLsCommand(options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const tenants = await everyPage('/admin/tenants', {
    query: new URLSearchParams(),
    cursor: 'before',
    read: async (path) => {
      const { tenants: items, next } = decode(tenantPage, await gateway.request('GET', path))
      return { items, next }
    },
  })
  if (options.json === true) {
    printJson(tenants)
    return
  }
  const paint = painter(process.stdout)
  const head = ['TENANT', 'STATE', 'LIMITS', 'TITLE'].map((text) => paint('dim', text))
  const rows = tenants.map(({ tenant, title, limits, suspendedAt }) => [
    printable(tenant),
    suspendedAt === null ? paint('green', 'active') : paint('red', 'suspended'),
    limitsText(limits),
    printable(title),
  ])
  printData(table([head, ...rows]))
}

function limitsText(limits: Readonly<Record<string, number | null>>): string {
  const set = Object.entries(limits).filter(([, value]) => value !== null)
  return set.length === 0 ? 'none' : set.map(([name, value]) => `${name}=${value}`).join(' ')
}

export interface TenantSetOptions extends GatewayOptions, LimitFlags {
  readonly title?: string
  readonly suspend?: boolean
  readonly resume?: boolean
}

/** Makes a tenant, or changes what the flags name. Limits that are set replace all former ones. */
export async function tenantsSetCommand(tenant: string, options: TenantSetOptions): Promise<void> {
  const limits = limitsOf(options)
  const suspended = options.suspend === true ? true : options.resume === true ? false : null
  const change = {
    ...(options.title === undefined ? {} : { title: options.title }),
    ...(limits === null ? {} : { limits }),
    ...(suspended === null ? {} : { suspended }),
  }
  const gateway = await gatewayOf(options)
  const view = decode(tenantView, await gateway.request('PUT', `/admin/tenants/${encodeURIComponent(tenant)}`, change))
  if (options.json === true) printJson(view)
  printMessage(`tenant ${printable(view.tenant)}: limits ${limitsText(view.limits)}${view.suspendedAt === null ? '' : ', suspended'}`)
}
