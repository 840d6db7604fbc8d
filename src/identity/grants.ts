/**
 * What a key may be given, and the rule that it never gets more than who made it has (LiteLLM GHSA-qrc4-49gv-mv9m). Also
 * which models an allow-list covers.
 */
import type { CacheMode, LimitSet, Principal, Scope } from '../core/principal.ts'

/** The rights of a credential. */
export interface Grants {
  readonly scopes: readonly Scope[]
  /** Canonical names or patterns with `*`; null: all. */
  readonly models: readonly string[] | null
  readonly nodeGroup: string | null
  /** Which of its answers are cached; null: as route and configuration say. */
  readonly cache: CacheMode | null
  readonly limits: LimitSet
}

/** The tenant of whoever runs the gateway: its admins act on all tenants, those of others on their own. */
export const operatorTenant = 'local'

/** Whether the caller runs the whole gateway. */
export function isOperator({ tenant, scopes }: Principal): boolean {
  return tenant === operatorTenant && scopes.has('admin')
}

/** True when `pattern`, in which `*` stands for any text, covers all of `name`. Linear in both: the last star is the only way back. */
export function covers(pattern: string, name: string): boolean {
  let at = 0
  let star = -1
  let retry = 0
  let index = 0
  while (index < name.length) {
    if (pattern[at] === '*') {
      star = at
      at += 1
      retry = index
    } else if (at < pattern.length && pattern[at] === name[index]) {
      at += 1
      index += 1
    } else if (star >= 0) {
      at = star + 1
      retry += 1
      index = retry
    } else return false
  }
  while (pattern[at] === '*') at += 1
  return at === pattern.length
}

/** Whether the caller may use the model of this canonical name. */
export function mayUseModel({ models }: Principal, name: string): boolean {
  return models === null || models.some((pattern) => covers(pattern, name))
}

/** What of `wanted` goes beyond `maker`, in words; null when nothing does. */
export function excessOf(wanted: Grants, maker: Principal): string | null {
  const scope = wanted.scopes.find((each) => !maker.scopes.has(each))
  if (scope !== undefined) return `the scope ${scope}`
  if (maker.models !== null && wanted.models === null) return 'all models'
  const model = wanted.models?.find((each) => !mayUseModel(maker, each))
  if (model !== undefined) return `the model ${model}`
  if (maker.nodeGroup !== null && wanted.nodeGroup !== maker.nodeGroup) return `nodes beyond the group ${maker.nodeGroup}`
  return limitExcess(wanted.limits, maker.limits)
}

const limitNames = ['requestsPerMinute', 'tokensPerMinute', 'concurrency', 'gpuSecondsPerDay', 'gpuSecondsPerMonth'] as const

function limitExcess(wanted: LimitSet, most: LimitSet): string | null {
  for (const name of limitNames) {
    const ceiling = most[name]
    if (ceiling === null) continue
    const value = wanted[name]
    if (value === null || value > ceiling) return `${name} over ${ceiling}`
  }
  return null
}
