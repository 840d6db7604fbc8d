/** Principals and plans for tests of limits. */
import { noLimits, openPrincipal, type LimitSet, type Principal } from '../../src/core/principal.ts'
import { limitsOptions, type LimitsOptions } from '../../src/limits/options.ts'
import { PlanBook, type Plan } from '../../src/limits/plan.ts'

export interface Who {
  readonly tenant?: string
  readonly subject?: string
  readonly own?: Partial<LimitSet>
  readonly ofTenant?: Partial<LimitSet>
}

export function principal({ tenant = 'acme', subject = 'key_1', own = {}, ofTenant = {} }: Who = {}): Principal {
  return { ...openPrincipal, method: 'key', tenant, subject, limits: { ...noLimits, ...own }, tenantLimits: { ...noLimits, ...ofTenant } }
}

export function options(given: Readonly<Record<string, unknown>> = {}): LimitsOptions {
  return limitsOptions.parse(given)
}

/** The plan of a principal that is limited. */
export function planOf(who: Who, model: string | null = null, given: LimitsOptions = options()): Plan {
  const plan = new PlanBook(given).planFor(principal(who), model)
  if (plan === null) throw new Error('nothing limits this principal')
  return plan
}
