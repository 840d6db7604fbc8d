/** How keys and tenants stand in their tables: the columns, and rows decoded. */
import { z } from 'zod'

import { storedLimitSet } from '../core/limit-set.ts'
import { cacheModes, type LimitSet, noLimits, type Principal, scopes } from '../core/principal.ts'
import type { Row } from '../store/database.ts'
import type { Grants } from './grants.ts'

/** A key as lists show it: never its secret nor a digest of it. */
export interface KeyView extends Grants {
  readonly id: string
  readonly tenant: string
  /** `secret`: a text its owner sends; `ed25519`: a public key whose owner signs requests. */
  readonly kind: 'secret' | 'ed25519'
  readonly title: string
  readonly createdAt: string
  /** Subject of its maker; null for the first key. */
  readonly createdBy: string | null
  readonly expiresAt: string | null
  /** To about a minute. */
  readonly lastUsedAt: string | null
  readonly rotatedFrom: string | null
  readonly revokedAt: string | null
  readonly revokedReason: string | null
  /** Until when the revocation can be taken back. */
  readonly restorableUntil: string | null
}

/** For a slip of the hand, which is noticed at once; later a key that was given up stays so. */
export const restoreMsMax = 600_000

export interface TenantView {
  readonly tenant: string
  readonly title: string
  readonly limits: LimitSet
  readonly createdAt: string
  readonly suspendedAt: string | null
}

const time = z.date().transform((date) => date.toISOString())
const timeOrNull = z
  .date()
  .nullable()
  .transform((date) => date?.toISOString() ?? null)

const keyShape = z.object({
  id: z.string(),
  tenant: z.string(),
  kind: z.enum(['secret', 'ed25519']),
  title: z.string(),
  scopes: z.array(z.enum(scopes)),
  models: z.array(z.string()).nullable(),
  node_group: z.string().nullable(),
  cache: z.enum(cacheModes).nullable(),
  limits: storedLimitSet,
  created_at: time,
  created_by: z.string().nullable(),
  expires_at: timeOrNull,
  last_used_at: timeOrNull,
  rotated_from: z.string().nullable(),
  revoked_at: timeOrNull,
  revoked_reason: z.string().nullable(),
})

export const keyColumns =
  'id, tenant, kind, title, scopes, models, node_group, cache, limits, created_at, created_by, expires_at, last_used_at, rotated_from, revoked_at, revoked_reason'

export function decodeKey(row: Row): KeyView {
  const key = keyShape.parse(row)
  return {
    id: key.id,
    tenant: key.tenant,
    kind: key.kind,
    title: key.title,
    scopes: key.scopes,
    models: key.models,
    nodeGroup: key.node_group,
    cache: key.cache,
    limits: key.limits,
    createdAt: key.created_at,
    createdBy: key.created_by,
    expiresAt: key.expires_at,
    lastUsedAt: key.last_used_at,
    rotatedFrom: key.rotated_from,
    revokedAt: key.revoked_at,
    revokedReason: key.revoked_reason,
    restorableUntil: key.revoked_at === null ? null : new Date(Date.parse(key.revoked_at) + restoreMsMax).toISOString(),
  }
}

const tenantShape = z.object({
  tenant: z.string(),
  title: z.string(),
  limits: storedLimitSet,
  created_at: time,
  suspended_at: timeOrNull,
})

export const tenantColumns = 'tenant, title, limits, created_at, suspended_at'

export function decodeTenant(row: Row): TenantView {
  const { tenant, title, limits, created_at: createdAt, suspended_at: suspendedAt } = tenantShape.parse(row)
  return { tenant, title, limits, createdAt, suspendedAt }
}

/** A key with what only its check needs. */
export interface StoredKey {
  readonly view: KeyView
  readonly pepper: string
  readonly digestHex: string
  readonly tenantLimits: LimitSet
  readonly suspended: boolean
}

const storedShape = z.object({
  pepper: z.string(),
  digest_hex: z.string(),
  tenant_limits: storedLimitSet.nullable(),
  suspended_at: z.date().nullable(),
})

export function decodeStoredKey(row: Row): StoredKey {
  const { pepper, digest_hex: digestHex, tenant_limits: limits, suspended_at: suspendedAt } = storedShape.parse(row)
  return { view: decodeKey(row), pepper, digestHex, tenantLimits: limits ?? noLimits, suspended: suspendedAt !== null }
}

/** Whoever has this key. */
export function principalOf({ view, tenantLimits }: StoredKey): Principal {
  return {
    tenant: view.tenant,
    method: view.kind === 'secret' ? 'key' : 'signature',
    subject: view.id,
    scopes: new Set(view.scopes),
    models: view.models,
    nodeGroup: view.nodeGroup,
    cache: view.cache,
    limits: view.limits,
    tenantLimits,
    expiresAtWallMs: view.expiresAt === null ? null : Date.parse(view.expiresAt),
  }
}
