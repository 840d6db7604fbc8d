/**
 * From the claims of a verified token to who it is here. A tenant or subject is always named by issuer and value together, so
 * that two issuers that use the same names never meet (ASVS V6.8.1); only a name that the operator wrote down himself is taken
 * as it is.
 */
import { hash } from 'node:crypto'

import { type LimitSet, type Principal, type Scope, noLimits } from '../core/principal.ts'
import type { IssuerOptions } from './options.ts'

export type Claims = Readonly<Record<string, unknown>>

/** Items of a claim that are looked at. */
const itemsMax = 1_000

/** A claim by its name, else by a path with dots. Own fields only. */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, step)) return undefined
    value = new Map<string, unknown>(Object.entries(value)).get(step)
  }
  return value
}

/** Who a token of this issuer stands for; null when it names no tenant that may be used. */
export function principalOfClaims(
  claims: Claims,
  issuer: IssuerOptions,
  limitsOf: (tenant: string) => LimitSet = () => noLimits,
): Principal | null {
  const tenant = tenantOf(claims, issuer)
  const subject = textOf(claims['sub'])
  if (tenant === null || subject === null) return null
  return {
    tenant,
    method: 'jwt',
    subject: nameOf(issuer.issuer, subject),
    scopes: scopesOf(claims, issuer),
    models: null,
    nodeGroup: chosen(claims, issuer.nodeGroup),
    cache: chosen(claims, issuer.cache),
    limits: chosen(claims, issuer.limits) ?? noLimits,
    tenantLimits: limitsOf(tenant),
    expiresAtWallMs: null,
  }
}

function tenantOf(claims: Claims, { issuer, tenant: rule }: IssuerOptions): string | null {
  const value = textOf(claimAt(claims, rule.claim))
  if (value === null) return null
  if (Object.hasOwn(rule.map, value)) return rule.map[value] ?? null
  return rule.mappedOnly ? null : nameOf(issuer, value)
}

/** A name of its own for a value of an issuer: 128 bits of a hash over both, framed. */
function nameOf(issuer: string, value: string): string {
  return `jwt-${hash('sha256', JSON.stringify([issuer, value]), 'hex').slice(0, 32)}`
}

function scopesOf(claims: Claims, { scopes: rule }: IssuerOptions): ReadonlySet<Scope> {
  const granted = new Set<Scope>(rule.default)
  for (const word of wordsOf(claims, rule.claim)) {
    if (typeof word !== 'string' || !Object.hasOwn(rule.map, word)) continue
    for (const scope of rule.map[word] ?? []) granted.add(scope)
  }
  return granted
}

/** What the first entry of the map gives that the token's claim has; its order is the operator's, never the token's. */
function chosen<T>(
  claims: Claims,
  rule: { readonly claim: string; readonly map: Readonly<Record<string, T>>; readonly default: T | null },
) {
  const words = new Set(wordsOf(claims, rule.claim))
  const whole = textOf(claimAt(claims, rule.claim))
  for (const [name, thing] of Object.entries(rule.map)) if (name === whole || words.has(name)) return thing
  return rule.default
}

/** Words of a text, or items of a list. */
function wordsOf(claims: Claims, name: string): unknown[] {
  const value = claimAt(claims, name)
  const words: unknown[] = typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : []
  return words.slice(0, itemsMax)
}

function textOf(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null
  return typeof value === 'string' && value !== '' ? value : null
}
