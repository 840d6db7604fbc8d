/**
 * Signed tokens taken back before they expire: one by its `jti`, all of a subject, or all of an issuer that were issued until
 * now. All of them are held in memory, since a token is judged without the store; they are read again when the version of the
 * store has moved on. While the store is away no replica hears of a new one, and what it knew holds.
 *
 * A revocation ends by itself when nothing it covers can still be good, so the list stays short.
 */
import { hash } from 'node:crypto'

import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import type { Database, Row } from '../store/database.ts'
import type { AuditLog } from './audit-log.ts'
import { isOperator, operatorTenant } from './grants.ts'
import type { Act } from './key-store.ts'
import type { IssuerOptions } from './options.ts'
import type { Change } from './touched.ts'
import { moveVersion } from './version.ts'

/** Revocations held; more than that are refused when they are made. */
const revocationsMax = 10_000
/** Ended ones deleted with each new one. */
const deletedMax = 1_000

export interface RevocationWish {
  readonly issuer: string
  /** `sub` of the tokens; null: every subject. */
  readonly subject: string | null
  /** Of one token; then the subject says nothing more. */
  readonly tokenId: string | null
  /** Epoch ms at which it ends; null: when the issuer's oldest token taken now has expired. */
  readonly untilWallMs: number | null
}

/** Of what it covers tokens issued until `revokedAtWallMs` are refused. */
interface Revocation {
  readonly revokedAtWallMs: number
  readonly untilWallMs: number
}

/** What a token says about itself. */
export interface TokenFacts {
  readonly issuer: string
  readonly subject: string
  readonly tokenId: string | null
  /** Seconds since 1970. */
  readonly issuedAtSeconds: number
}

export interface TokenRevocationsDeps {
  readonly database: Database
  readonly audit: AuditLog
  readonly clock: Clock
  readonly issuers: readonly IssuerOptions[]
  /** Hears of every change once it is stored. */
  readonly onChanged: (change: Change) => void
}

export class TokenRevocations {
  readonly #deps: TokenRevocationsDeps
  readonly #toleranceMs: number
  #known: ReadonlyMap<string, Revocation> = new Map()
  /** Readings begun, and the latest begun of those that ended: an older one that is late must not undo it. */
  #begun = 0
  #ended = 0

  constructor(deps: TokenRevocationsDeps) {
    this.#deps = deps
    this.#toleranceMs = Math.max(0, ...deps.issuers.map(({ clockToleranceMs }) => clockToleranceMs))
  }

  /** Whether a token was taken back. An issuer's clock may be ahead of ours by the tolerance it is granted. */
  readonly isRevoked = ({ issuer, subject, tokenId, issuedAtSeconds }: TokenFacts): boolean => {
    if (this.#known.size === 0) return false
    const nowMs = this.#deps.clock.wallMs()
    const one = tokenId === null ? undefined : this.#known.get(nameOf(issuer, null, tokenId))
    if (one !== undefined && nowMs < one.untilWallMs) return true
    for (const wide of [this.#known.get(nameOf(issuer, subject, null)), this.#known.get(nameOf(issuer, null, null))]) {
      if (wide === undefined || nowMs >= wide.untilWallMs) continue
      if (issuedAtSeconds * 1_000 <= wide.revokedAtWallMs + this.#toleranceMs) return true
    }
    return false
  }

  /** Reads all that hold anew. */
  async load(): Promise<void> {
    this.#begun += 1
    const order = this.#begun
    const now = new Date(this.#deps.clock.wallMs()).toISOString()
    const text = `select issuer, subject, token_id, revoked_at, until from revoked_tokens where until > $1::timestamptz
      order by revoked_at desc limit ${revocationsMax}`
    const { rows } = await this.#deps.database.tx('system', ({ last }) => last(text, [now]), {
      name: 'load_revocations',
      readOnly: true,
    })
    if (order < this.#ended) return
    this.#ended = order
    this.#known = new Map(rows.map(decode))
  }

  /** Takes tokens back, from now on and everywhere. Throws `invalid_request` for an unknown issuer or a time that is over. */
  async revoke(wish: RevocationWish, act: Act): Promise<{ readonly until: string }> {
    if (!isOperator(act.by)) throw new CorralError('insufficient_scope', 'only the operator takes tokens back')
    const nowMs = this.#deps.clock.wallMs()
    const issuer = this.#issuer(wish.issuer)
    const untilMs = wish.untilWallMs ?? nowMs + lifeMsMax(issuer)
    if (untilMs <= nowMs) throw new CorralError('invalid_request', 'until: this time is over')
    const [now, until] = [new Date(nowMs).toISOString(), new Date(untilMs).toISOString()]
    const version = await this.#deps.database.tx(
      'system',
      async (transaction) => {
        await transaction.query(deleteText, [now])
        const { rows } = await transaction.query('select count(*) as count from revoked_tokens')
        if (Number(rows[0]?.['count']) >= revocationsMax) {
          throw new CorralError('conflict', `${revocationsMax} revocations hold already: take back all tokens of the issuer instead`)
        }
        const subject = wish.tokenId === null ? wish.subject : null
        const id = hash('sha256', nameOf(wish.issuer, subject, wish.tokenId), 'hex')
        await transaction.query(insertText, [id, wish.issuer, subject, wish.tokenId, now, until])
        const moved = await moveVersion(transaction)
        const { requestId, address, by } = act
        const what = { tenant: operatorTenant, actor: by.subject ?? by.method, action: 'revoke tokens', target: targetOf(wish) }
        await this.#deps.audit.append(transaction, { ...what, decision: 'allowed', requestId, address })
        return moved
      },
      { name: 'revoke_token' },
    )
    await this.load()
    this.#deps.onChanged({ version, touched: { kind: 'tokens' } })
    return { until }
  }

  #issuer(name: string): IssuerOptions {
    const issuer = this.#deps.issuers.find((each) => each.issuer === name)
    if (issuer === undefined) throw new CorralError('invalid_request', `issuer: no issuer ${name.slice(0, 200)} is trusted here`)
    return issuer
  }
}

/** After this long no token that is good now is good any more. */
function lifeMsMax({ tokenAgeMsMax, clockToleranceMs }: IssuerOptions): number {
  return tokenAgeMsMax + 2 * clockToleranceMs
}

function targetOf({ issuer, subject, tokenId }: RevocationWish): string {
  if (tokenId !== null) return `${issuer} jti ${tokenId}`
  return subject === null ? issuer : `${issuer} sub ${subject}`
}

function nameOf(issuer: string, subject: string | null, tokenId: string | null): string {
  return JSON.stringify([issuer, subject, tokenId])
}

function decode({ issuer, subject, token_id: tokenId, revoked_at: revokedAt, until }: Row): [string, Revocation] {
  return [nameOf(String(issuer), textOf(subject), textOf(tokenId)), { revokedAtWallMs: wallMsOf(revokedAt), untilWallMs: wallMsOf(until) }]
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function wallMsOf(value: unknown): number {
  return value instanceof Date ? value.getTime() : Date.parse(String(value))
}

const deleteText = `
delete from revoked_tokens where id in (select id from revoked_tokens where until <= $1::timestamptz limit ${deletedMax})`

/** The same again covers what was issued since, and never ends sooner. */
const insertText = `
insert into revoked_tokens (id, issuer, subject, token_id, revoked_at, until) values ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz)
on conflict (id) do update
set revoked_at = greatest(revoked_tokens.revoked_at, excluded.revoked_at), until = greatest(revoked_tokens.until, excluded.until)`
