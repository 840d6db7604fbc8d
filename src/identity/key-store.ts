/**
 * Keys in the database: make, list, rotate, revoke, restore, find. A key's whole text exists only in the answer that makes it. Every change
 * writes its audit entry and moves the version on in the same transaction; replicas that see another version forget what they
 * cached. An operator acts on all tenants, any other admin on its own, held by the transaction's scope besides the checks here.
 */
import type { Clock } from '../base/clock.ts'
import type { Cursors } from '../base/cursors.ts'
import { CorralError } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import { ConstraintError, type Database, type Transaction, type TransactionScope } from '../store/database.ts'
import type { AuditLog } from './audit-log.ts'
import type { FillRandom } from './base62.ts'
import { excessOf, type Grants, isOperator, operatorTenant } from './grants.ts'
import { KeyLookup } from './key-lookup.ts'
import { insertText, listText, retireText, secretsText, signersText, usedText } from './key-queries.ts'
import { decodeKey, decodeStoredKey, keyColumns, type KeyView, type StoredKey } from './key-rows.ts'
import { makeKey, makeKeyId } from './key.ts'
import type { Peppers } from './pepper.ts'
import { fingerprintOf } from './signing-key.ts'
import type { Change } from './touched.ts'
import { moveVersion, readVersion } from './version.ts'

/** Who asks for a change, for the audit log. */
export interface Act {
  readonly by: Principal
  readonly requestId: string
  readonly address: string
}

export interface KeyWish extends Grants {
  readonly tenant: string
  readonly title: string
  /** Milliseconds it lives; `never` has to be said. Null: as long as is usual, but no longer than its maker's key. */
  readonly lifeMs: number | 'never' | null
  /** Raw ed25519 public key, 32 bytes, of a client that signs; null: a secret is made. */
  readonly publicKey: Buffer | null
}

/** Which keys of a list are wanted. */
export interface KeyListWish {
  /** Its keys alone; left out: of all that the caller may see. */
  readonly tenant?: string | undefined
  /** 1 to `keyPageMax`, which is the default. */
  readonly limit?: number | undefined
  /** Cursor of the page before. */
  readonly before?: string | undefined
}

export interface KeyPage {
  readonly keys: readonly KeyView[]
  /** For the page after; null: this is the last. */
  readonly next: string | null
}

export interface MadeKey {
  readonly view: KeyView
  /** The whole key, shown this once; null for one that signs. */
  readonly text: string | null
}

export interface KeyStoreDeps {
  readonly database: Database
  readonly audit: AuditLog
  readonly peppers: Peppers
  readonly clock: Clock
  readonly fill: FillRandom
  readonly cursors: Cursors
  /** Milliseconds that a key lives unless something is said. */
  readonly usualLifeMs: number
  /** Hears of every change once it is stored. */
  readonly onChanged: (change: Change) => void
}

/** Keys of a page. */
export const keyPageMax = 1_000
/**
 * By which a key may outlive its maker's and still be restored. Replicas of before counted a life from the moment of the insert: for as long as
 * the transaction took, and their clocks differed, such keys live on too long.
 */
const overrunMsMax = 60_000
/** The start takes a moment from the migrations to the operator's tenant. */
const retryAfterMs = 1_000

export class KeyStore {
  readonly #deps: KeyStoreDeps
  readonly #secrets: KeyLookup<StoredKey>
  readonly #signers: KeyLookup<StoredKey>

  constructor(deps: KeyStoreDeps) {
    const { database, clock } = deps
    this.#deps = deps
    this.#secrets = new KeyLookup({ database, clock, text: secretsText, decode: decodeStoredKey, valueOf: (row) => row['id'] })
    this.#signers = new KeyLookup({ database, clock, text: signersText, decode: decodeStoredKey, valueOf: (row) => row['digest_hex'] })
  }

  /** Throws `insufficient_scope` when it would get more or live longer than its maker's, `conflict` when the tenant is unknown or the public key taken. */
  async create(wish: KeyWish, act: Act): Promise<MadeKey> {
    checkGrant(wish, act.by)
    const { made, retired, version } = await this.#deps.database.tx(
      'system',
      async (transaction) => {
        const lifeMs = this.#lifeOf(wish.lifeMs, act.by)
        const over = wish.publicKey === null ? null : await this.#retire(transaction, wish.publicKey, act)
        const origin = { createdBy: act.by.subject, rotatedFrom: null, endWallMsMax: act.by.expiresAtWallMs }
        const key = await this.#insert(transaction, { ...wish, lifeMs }, origin)
        return {
          made: key,
          retired: over,
          version: await this.#record(transaction, act, { tenant: wish.tenant, action: 'create key', target: key.view.id }),
        }
      },
      { name: 'create_key' },
    )
    // Of a new key nobody knows anything yet; what is known of its public key is known of the old one.
    this.#deps.onChanged({ version, touched: { kind: 'key', id: retired ?? made.view.id } })
    return made
  }

  /** A page of the keys of the caller's tenants, newest first. Throws `invalid_request` for a cursor that was not made for this list. */
  async list(by: Principal, { tenant, limit = keyPageMax, before }: KeyListWish = {}): Promise<KeyPage> {
    const list = [isOperator(by) ? null : by.tenant, tenant ?? null]
    const place = before === undefined ? [null, null] : this.#deps.cursors.open(before, list)
    if (place === null) throw new CorralError('invalid_request', 'before: not a cursor of this list')
    const query = (transaction: Transaction) => transaction.query(listText, [tenant ?? null, ...place, limit + 1])
    const { rows } = await this.#deps.database.tx(scopeOf(by), query, { name: 'list_keys', readOnly: true })
    const keys = rows.slice(0, limit).map(decodeKey)
    const last = keys.at(-1)
    const next = rows.length > limit && last !== undefined ? this.#deps.cursors.make([last.createdAt, last.id], list) : null
    return { keys, next }
  }

  /** Throws `key_not_found`, for a key of another tenant too. */
  async get(id: string, by: Principal): Promise<KeyView> {
    return this.#deps.database.tx(scopeOf(by), (transaction) => findView(transaction, id), { name: 'get_key', readOnly: true })
  }

  /**
   * Makes a key with the same rights and life; the old one goes on for `overlapMs`. Only the operator can give it an end beyond that
   * of the key he acts with: else nobody could ever renew the last one. Throws `conflict` for a key that is revoked, expired or signs.
   */
  async rotate(id: string, { overlapMs, lifeMs }: { overlapMs: number; lifeMs: number | null }, act: Act): Promise<MadeKey> {
    await this.get(id, act.by)
    const { made, version } = await this.#deps.database.tx(
      'system',
      async (transaction) => {
        const old = await findView(transaction, id, 'for update')
        this.#refuseRotation(old)
        checkGrant(old, act.by)
        const wish = { ...old, lifeMs: this.#lifeAfter(old, lifeMs, act.by), publicKey: null }
        const endWallMsMax = isOperator(act.by) ? null : act.by.expiresAtWallMs
        const key = await this.#insert(transaction, wish, { createdBy: act.by.subject, rotatedFrom: id, endWallMsMax })
        const endsAt = new Date(this.#deps.clock.wallMs() + overlapMs).toISOString()
        await transaction.query(
          'update api_keys set expires_at = least(coalesce(expires_at, $2::timestamptz), $2::timestamptz) where id = $1',
          [id, endsAt],
        )
        return { made: key, version: await this.#record(transaction, act, { tenant: old.tenant, action: 'rotate key', target: id }) }
      },
      { name: 'rotate_key' },
    )
    this.#deps.onChanged({ version, touched: { kind: 'key', id } })
    return made
  }

  /** Takes a key out at once. Doing it again changes nothing. */
  async revoke(id: string, reason: string, act: Act): Promise<KeyView> {
    await this.get(id, act.by)
    const { view: revoked, version } = await this.#deps.database.tx(
      'system',
      async (transaction) => {
        const now = new Date(this.#deps.clock.wallMs()).toISOString()
        const text = 'update api_keys set revoked_at = $2::timestamptz, revoked_reason = $3 where id = $1 and revoked_at is null'
        await transaction.query(text, [id, now, reason])
        const view = await findView(transaction, id)
        return { view, version: await this.#record(transaction, act, { tenant: view.tenant, action: 'revoke key', target: id }) }
      },
      { name: 'revoke_key' },
    )
    this.#deps.onChanged({ version, touched: { kind: 'key', id } })
    return revoked
  }

  /**
   * Takes a revocation back, within `restoreMsMax` of it: the key is what it was, to the end it had. Of a key in use it changes nothing. As with a
   * new key, nobody but the operator gives more, or for longer, than he has himself (`insufficient_scope`). Throws `conflict` when it is
   * too late, the key is over by now, or its public key was registered anew.
   */
  async restore(id: string, act: Act): Promise<KeyView> {
    await this.get(id, act.by)
    const { view: restored, version } = await this.#deps.database.tx(
      'system',
      async (transaction) => {
        const key = await findView(transaction, id, 'for update')
        checkGrant(key, act.by)
        this.#refuseRestoring(key, act.by)
        await refuseTaken(transaction.query('update api_keys set revoked_at = null, revoked_reason = null where id = $1', [id]))
        const view = await findView(transaction, id)
        return { view, version: await this.#record(transaction, act, { tenant: view.tenant, action: 'restore key', target: id }) }
      },
      { name: 'restore_key' },
    )
    this.#deps.onChanged({ version, touched: { kind: 'key', id } })
    return restored
  }

  /** The key of this id that has a secret; null when there is none. */
  findSecret(id: string): Promise<StoredKey | null> {
    return this.#secrets.find(id)
  }

  /** The key in use with this ed25519 fingerprint. */
  findSigner(fingerprintHex: string): Promise<StoredKey | null> {
    return this.#signers.find(fingerprintHex)
  }

  /** Whether a key of the operator's tenant is there that may administer and is in use: one of another tenant cannot let the operator in. */
  async hasAdmin(): Promise<boolean> {
    const now = new Date(this.#deps.clock.wallMs()).toISOString()
    const text = `select 1 from api_keys where tenant = $2 and scopes ? 'admin' and revoked_at is null
      and (expires_at is null or expires_at > $1::timestamptz) limit 1`
    const { rows } = await this.#deps.database.tx('system', ({ last }) => last(text, [now, operatorTenant]), {
      name: 'look_for_admin_key',
      readOnly: true,
    })
    return rows.length > 0
  }

  /** The version of all keys and tenants; another one means that something changed. */
  async version(): Promise<bigint> {
    return this.#deps.database.tx('system', ({ last }) => readVersion({ query: last }), { name: 'read_key_version', readOnly: true })
  }

  /** Notes when keys were used last: epoch ms by id. */
  async markUsed(usedAt: ReadonlyMap<string, number>): Promise<void> {
    const list = [...usedAt].map(([id, wallMs]) => [id, new Date(wallMs).toISOString()])
    await this.#deps.database.tx('system', (transaction) => transaction.query(usedText, [JSON.stringify(list)]), { name: 'mark_keys_used' })
  }

  async #insert(
    transaction: Transaction,
    wish: KeyWish & { readonly lifeMs: number | 'never' },
    { createdBy, rotatedFrom, endWallMsMax }: Origin,
  ): Promise<MadeKey> {
    const { clock, fill, peppers } = this.#deps
    await requireTenant(transaction, wish.tenant)
    const made = wish.publicKey === null ? makeKey(fill) : null
    const digest = made === null ? null : peppers.digest(made.secret)
    const nowMs = clock.wallMs()
    const inserting = transaction.query(insertText, [
      made?.id ?? makeKeyId(fill),
      wish.tenant,
      wish.publicKey === null ? 'secret' : 'ed25519',
      digest?.bytes.toString('hex') ?? fingerprintOf(wish.publicKey ?? noKey),
      digest?.version ?? '',
      wish.title,
      JSON.stringify(wish.scopes),
      wish.models === null ? null : JSON.stringify(wish.models),
      wish.nodeGroup,
      JSON.stringify(wish.limits),
      new Date(nowMs).toISOString(),
      createdBy,
      endOf(nowMs, wish.lifeMs, endWallMsMax),
      rotatedFrom,
      wish.cache,
    ])
    const { rows } = await refuseTaken(inserting)
    return { view: decodeKey(rows[0] ?? {}), text: made?.text ?? null }
  }

  /** Revokes the expired key of this public key, which can so be registered anew; its id, null: there is none. */
  async #retire(transaction: Transaction, publicKey: Buffer, act: Act): Promise<string | null> {
    const now = new Date(this.#deps.clock.wallMs()).toISOString()
    const { rows } = await transaction.query(retireText, [fingerprintOf(publicKey), now, 'expired, and its public key was registered anew'])
    if (rows[0] === undefined) return null
    const { id, tenant } = decodeKey(rows[0])
    await this.#record(transaction, act, { tenant, action: 'revoke key', target: id })
    return id
  }

  async #record(transaction: Transaction, { by, requestId, address }: Act, what: { tenant: string; action: string; target: string }) {
    const version = await moveVersion(transaction)
    await this.#deps.audit.append(transaction, { ...what, actor: by.subject ?? by.method, decision: 'allowed', requestId, address })
    return version
  }

  /** Milliseconds for a new key, not beyond its maker's. Throws `insufficient_scope` when more was asked for. */
  #lifeOf(wanted: number | 'never' | null, { expiresAtWallMs }: Principal): number | 'never' {
    const lifeMs = wanted ?? this.#deps.usualLifeMs
    if (expiresAtWallMs === null) return lifeMs
    const leftMs = expiresAtWallMs - this.#deps.clock.wallMs()
    if (lifeMs !== 'never' && lifeMs <= leftMs) return lifeMs
    if (wanted === null) return leftMs
    const end = new Date(expiresAtWallMs).toISOString()
    throw new CorralError('insufficient_scope', `a key cannot outlive the one it is made with, which ends at ${end}`)
  }

  /** For the key after `old`; the insert ends what nobody asked for with the maker's key. */
  #lifeAfter(old: KeyView, wanted: number | null, by: Principal): number | 'never' {
    if (wanted === null) return lifeOf(old)
    return isOperator(by) ? wanted : this.#lifeOf(wanted, by)
  }

  #refuseRotation(key: KeyView): void {
    const over = key.expiresAt !== null && Date.parse(key.expiresAt) <= this.#deps.clock.wallMs()
    if (key.revokedAt !== null || over) throw new CorralError('conflict', `key ${key.id} is no longer in use: make a new one`)
    if (key.kind === 'ed25519') throw new CorralError('conflict', `key ${key.id} signs: register the new public key and revoke this one`)
  }

  #refuseRestoring({ id, expiresAt, restorableUntil }: KeyView, by: Principal): void {
    const nowMs = this.#deps.clock.wallMs()
    if (restorableUntil !== null && nowMs > Date.parse(restorableUntil))
      throw new CorralError('conflict', `key ${id} could be restored until ${restorableUntil}: make a new one`)
    const leftMs = expiresAt === null ? 'never' : Date.parse(expiresAt) - nowMs
    if (leftMs !== 'never' && leftMs <= 0) throw new CorralError('conflict', `key ${id} has expired: make a new one`)
    if (!isOperator(by)) this.#lifeOf(leftMs === 'never' ? leftMs : leftMs - overrunMsMax, by)
  }
}

interface Origin {
  readonly createdBy: string | null
  readonly rotatedFrom: string | null
  /** The end of the maker's key: time passes between the look at it and the insert, and takes nothing beyond it. Null: there is none to keep to. */
  readonly endWallMsMax: number | null
}

function endOf(nowMs: number, lifeMs: number | 'never', endWallMsMax: number | null): string | null {
  const endMs = Math.min(lifeMs === 'never' ? Infinity : nowMs + lifeMs, endWallMsMax ?? Infinity)
  return endMs === Infinity ? null : new Date(endMs).toISOString()
}

const noKey = Buffer.alloc(0)

/** Which rows the caller sees. */
export function scopeOf(by: Principal): TransactionScope {
  return isOperator(by) ? 'system' : { tenant: by.tenant }
}

function checkGrant(wish: Grants & { readonly tenant: string }, by: Principal): void {
  if (wish.tenant !== by.tenant && !isOperator(by))
    throw new CorralError('insufficient_scope', 'keys of another tenant are not yours to make')
  const excess = excessOf(wish, by)
  if (excess !== null) throw new CorralError('insufficient_scope', `a key cannot be given what its maker does not have: ${excess}`)
}

function lifeOf({ createdAt, expiresAt }: KeyView): number | 'never' {
  return expiresAt === null ? 'never' : Date.parse(expiresAt) - Date.parse(createdAt)
}

async function findView(transaction: Transaction, id: string, lock: '' | 'for update' = ''): Promise<KeyView> {
  const { rows } = await transaction.query(`select ${keyColumns} from api_keys where id = $1 ${lock}`, [id])
  if (rows[0] === undefined) throw new CorralError('key_not_found', `no key ${id.slice(0, 20)}`)
  return decodeKey(rows[0])
}

async function requireTenant(transaction: Transaction, tenant: string): Promise<void> {
  const { rows } = await transaction.query('select 1 from tenants where tenant = $1', [tenant])
  if (rows.length > 0) return
  // The start makes the operator's own, once the database is open: nobody else can.
  if (tenant === operatorTenant) throw new CorralError('store_unavailable', 'starting: the store is still being opened', { retryAfterMs })
  throw new CorralError('conflict', `no tenant ${tenant.slice(0, 63)}: make it first`)
}

/** Passes on what a write of a key gives; of one whose public key another key in use has, the schema's refusal becomes `conflict`. */
async function refuseTaken<T>(writing: Promise<T>): Promise<T> {
  try {
    return await writing
  } catch (error) {
    if (!(error instanceof ConstraintError) || error.constraint !== 'api_keys_signing') throw error
    throw new CorralError('conflict', 'this public key is registered already', { cause: error })
  }
}
