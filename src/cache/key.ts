/**
 * Cache keys. A key is an HMAC over framed parts (`u32 length ‖ bytes` each), so that no two lists of parts share a pre-image
 * and a stolen store of keys says nothing about prompts. The first parts are the schema version, the scope and the kind.
 *
 * A scope says whose entry it is. It has no default and no constructor but `cacheScope`: a key without a tenant cannot be
 * written down.
 */
import { createHmac } from 'node:crypto'

/** Raise it whenever the same parts would have to mean another entry. */
const keySchema = 1
const scopeCacheMax = 1_024

/** What is cached. `retrieval` and `answer` belong to search. */
export const cacheKinds = ['inference', 'embedding', 'retrieval', 'answer'] as const

export type CacheKind = (typeof cacheKinds)[number]

/** Who may share an entry: everybody of the tenant, or one subject of it. */
export type Visibility = { readonly to: 'tenant' } | { readonly to: 'subject'; readonly subject: string }

export const tenantWide: Visibility = { to: 'tenant' }

/** Whose entries these are; made by `cacheScope` only. */
export class CacheScope {
  readonly tenant: string
  /** Opaque to everything but `CacheKeys`: 64 hex digits. */
  readonly id: string
  // A private member makes the type nominal: nothing that merely looks like a scope is one.
  readonly #made = true

  private constructor(tenant: string, id: string) {
    this.tenant = tenant
    this.id = id
  }

  /** True for every scope: reading it proves at run time that `cacheScope` made it. */
  get genuine(): boolean {
    return this.#made
  }

  static make(secret: Buffer, tenant: string, visibility: Visibility): CacheScope {
    const parts = visibility.to === 'tenant' ? ['tenant', tenant] : ['subject', tenant, visibility.subject]
    return new CacheScope(tenant, sign(secret, ['corral cache scope', ...parts]))
  }
}

/** The scope of a tenant, or of one subject inside it. Throws an assertion for an empty tenant or a secret under 16 bytes. */
export function cacheScope(secret: Buffer, tenant: string, visibility: Visibility): CacheScope {
  if (tenant === '') throw new Error('a cache scope needs a tenant')
  if (secret.length < 16) throw new Error('the secret of cache keys has at least 16 bytes')
  return CacheScope.make(secret, tenant, visibility)
}

/** A finished key: 64 hex digits. */
export class CacheKey {
  readonly text: string
  readonly kind: CacheKind

  /** Keys `parts` for `scope`. Two lists of parts give one key only when they are equal, item by item. */
  constructor(
    secret: Buffer,
    scope: CacheScope,
    { kind, parts }: { readonly kind: CacheKind; readonly parts: readonly (string | Buffer)[] },
  ) {
    if (!scope.genuine) throw new Error('a cache scope comes from cacheScope()')
    this.kind = kind
    this.text = sign(secret, [String(keySchema), scope.id, kind, ...parts])
  }
}

function sign(secret: Buffer, parts: readonly (string | Buffer)[]): string {
  const hmac = createHmac('sha256', secret)
  hmac.update(frame(parts))
  return hmac.digest('hex')
}

/** The parts as `u32 length ‖ bytes` each. */
export function frame(parts: readonly (string | Buffer)[]): Buffer {
  let size = 0
  for (const part of parts) size += 4 + Buffer.byteLength(part)
  const framed = Buffer.allocUnsafe(size)
  let at = 0
  for (const part of parts) {
    const length = typeof part === 'string' ? framed.write(part, at + 4, 'utf8') : part.copy(framed, at + 4)
    framed.writeUInt32LE(length, at)
    at += 4 + length
  }
  return framed
}

/** Scopes by tenant and subject, so that a request in a known scope costs no HMAC. Bounded; forgets all when full. */
export class ScopeTable {
  readonly #secret: Buffer
  readonly #tenants = new Map<string, CacheScope>()

  constructor(secret: Buffer) {
    this.#secret = secret
  }

  ofTenant(tenant: string): CacheScope {
    const known = this.#tenants.get(tenant)
    if (known !== undefined) return known
    const scope = cacheScope(this.#secret, tenant, tenantWide)
    if (this.#tenants.size >= scopeCacheMax) this.#tenants.clear()
    this.#tenants.set(tenant, scope)
    return scope
  }
}
