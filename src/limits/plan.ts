/**
 * Which meters and budgets one request runs through: those of its tenant, of its credential, and of its model class within the
 * tenant. A plan depends on the principal and the class alone, so it is made once per pair and found again without work.
 */
import { noLimits, type LimitSet, type Principal } from '../core/principal.ts'
import type { Period } from './budget-calendar.ts'
import type { LimitsOptions } from './options.ts'

export type Scope = 'tenant' | 'credential' | 'class'

/** One place that counts. Null: not limited there. */
export interface Meter {
  readonly scope: Scope
  /** Unique within the tenant, e.g. `t`, `c:key_1`, `m:large`. */
  readonly name: string
  /** Unique in the process. */
  readonly key: string
  readonly requestsPerMinute: number | null
  readonly tokensPerMinute: number | null
  readonly concurrency: number | null
}

/** GPU time that a place may use in a period. */
export interface BudgetLine {
  readonly scope: Scope
  readonly name: string
  readonly key: string
  readonly period: Period
  readonly limitSeconds: number
}

export interface Plan {
  readonly tenant: string
  readonly meters: readonly Meter[]
  /** In the order in which they deny: of a place the month, whose wait is longer, before the day. */
  readonly budgets: readonly BudgetLine[]
  /** Whether any meter counts tokens. */
  readonly countsTokens: boolean
  /** Whether a request holds something until it ends: tokens reserved or a place among those under way. */
  readonly holds: boolean
}

/** Joins the parts of a key; a name cannot hold it. */
const separator = '\u0000'

/** The name under which a place is counted, in memory and in the store. */
export function scopeKey(tenant: string, name: string): string {
  return `${tenant}${separator}${name}`
}

/** Finds plans for one set of options. */
export class PlanBook {
  readonly #options: LimitsOptions
  readonly #byPrincipal = new WeakMap<Principal, Map<string, Plan | null>>()
  readonly #classes: readonly { readonly name: string; readonly patterns: readonly RegExp[]; readonly limits: LimitSet }[]
  readonly #classByModel = new Map<string, string>()

  constructor(options: LimitsOptions) {
    this.#options = options
    this.#classes = options.modelClasses.map(({ name, models, limits }) => ({
      name,
      patterns: models.map(patternOf),
      limits: complete(limits),
    }))
  }

  /** The plan, or null when nothing limits this principal with this model. */
  planFor(principal: Principal, model: string | null): Plan | null {
    let plans = this.#byPrincipal.get(principal)
    if (plans === undefined) {
      plans = new Map()
      this.#byPrincipal.set(principal, plans)
    }
    const modelClass = this.classOf(model)
    const known = plans.get(modelClass)
    if (known !== undefined) return known
    const plan = this.#make(principal, modelClass)
    plans.set(modelClass, plan)
    return plan
  }

  /** The first class with a pattern that covers the model; '' when there is none. */
  classOf(model: string | null): string {
    if (model === null || this.#classes.length === 0) return ''
    const known = this.#classByModel.get(model)
    if (known !== undefined) return known
    const name = this.#classes.find(({ patterns }) => patterns.some((pattern) => pattern.test(model)))?.name ?? ''
    if (this.#classByModel.size >= modelsRemembered) this.#classByModel.clear()
    this.#classByModel.set(model, name)
    return name
  }

  #make({ tenant, subject, limits, tenantLimits }: Principal, modelClass: string): Plan | null {
    const { tenant: tenantDefaults, credential: credentialDefaults } = this.#options
    const places: { readonly scope: Scope; readonly name: string; readonly limits: LimitSet }[] = [
      { scope: 'tenant', name: 't', limits: complete(tenantDefaults, tenantLimits) },
    ]
    if (subject !== null) places.push({ scope: 'credential', name: `c:${subject}`, limits: complete(credentialDefaults, limits) })
    const known = this.#classes.find(({ name }) => name === modelClass)
    if (known !== undefined) places.push({ scope: 'class', name: `m:${modelClass}`, limits: known.limits })
    return planOf(tenant, places)
  }
}

/** Distinct model names whose class is remembered. */
const modelsRemembered = 4_096

function planOf(
  tenant: string,
  places: readonly { readonly scope: Scope; readonly name: string; readonly limits: LimitSet }[],
): Plan | null {
  const meters: Meter[] = []
  const budgets: BudgetLine[] = []
  for (const { scope, name, limits } of places) {
    const { requestsPerMinute, tokensPerMinute, concurrency, gpuSecondsPerDay, gpuSecondsPerMonth } = limits
    const key = scopeKey(tenant, name)
    if (requestsPerMinute !== null || tokensPerMinute !== null || concurrency !== null) {
      meters.push({ scope, name, key, requestsPerMinute, tokensPerMinute, concurrency })
    }
    if (gpuSecondsPerMonth !== null) budgets.push({ scope, name, key, period: 'month', limitSeconds: gpuSecondsPerMonth })
    if (gpuSecondsPerDay !== null) budgets.push({ scope, name, key, period: 'day', limitSeconds: gpuSecondsPerDay })
  }
  if (meters.length === 0 && budgets.length === 0) return null
  const countsTokens = meters.some(({ tokensPerMinute }) => tokensPerMinute !== null)
  const holds = countsTokens || meters.some(({ concurrency }) => concurrency !== null)
  return { tenant, meters, budgets, countsTokens, holds }
}

/** What is set for the principal itself wins over the defaults. */
function complete(defaults: LimitSet, own: LimitSet = noLimits): LimitSet {
  const pick = (name: keyof LimitSet): number | null => own[name] ?? defaults[name] ?? null
  return {
    requestsPerMinute: pick('requestsPerMinute'),
    tokensPerMinute: pick('tokensPerMinute'),
    concurrency: pick('concurrency'),
    gpuSecondsPerDay: pick('gpuSecondsPerDay'),
    gpuSecondsPerMonth: pick('gpuSecondsPerMonth'),
  }
}

/** `*` stands for any text. Patterns come from the configuration, so a regular expression is safe enough. */
function patternOf(pattern: string): RegExp {
  const source = pattern
    .split('*')
    .map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`))
    .join('.*')
  return new RegExp(`^${source}$`, 'su')
}
