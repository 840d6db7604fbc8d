/**
 * Identity as the rest of the gateway sees it: verdicts on credentials, the stores behind the admin API, the audit log, and the
 * upkeep in between (a look at the store's version now and then, last-used times each minute, the issuers' keys). In open mode it
 * authenticates nobody, but keys can be made already.
 */
import { hash, randomFillSync, randomUUID, timingSafeEqual } from 'node:crypto'

import type { Clock } from '../base/clock.ts'
import { createCursors } from '../base/cursors.ts'
import { noLimits, openPrincipal, scopes } from '../core/principal.ts'
import { type Database, lookEveryMs } from '../store/database.ts'
import { AuditLog } from './audit-log.ts'
import { Authenticator } from './authenticator.ts'
import type { FillRandom } from './base62.ts'
import { operatorTenant } from './grants.ts'
import { fetchText } from './jwks-fetch.ts'
import { type FetchText, Jwks, type KeySetState } from './jwks.ts'
import type { TrustedIssuer } from './jwt.ts'
import { type EndsOfKind, KeyEndsWatch } from './key-ends.ts'
import { type Act, KeyStore } from './key-store.ts'
import type { IdentityOptions } from './options.ts'
import { Peppers } from './pepper.ts'
import type { Presented } from './presented.ts'
import type { SharedSignatures, SignedParts, UsedSignature } from './signature.ts'
import { TenantStore } from './tenant-store.ts'
import { TokenRevocations } from './token-revocations.ts'
import { type Change, readNews, writeNews } from './touched.ts'
import { Upkeep } from './upkeep.ts'
import { denied, type DenialReason, type Verdict } from './verdict.ts'

const channel = 'identity'

/** What identity tells about itself; nothing of it may throw. */
export interface IdentityEvents {
  /** Each decision on a credential, known ones too. `result`: granted, undecided, or why it was denied. */
  readonly decided: (method: 'key' | 'jwt' | 'signature' | 'none', result: 'granted' | 'undecided' | DenialReason) => void
  /** Upkeep that failed and is tried again: a key set, the version, last-used times, the audit log. */
  readonly upkeepFailed: (what: string, reason: string) => void
}

export interface IdentityDeps {
  readonly options: IdentityOptions
  readonly database: Database
  /** See `loadSecret`. */
  readonly secret: string
  readonly clock: Clock
  readonly events: IdentityEvents
  /** Default: Node's own https. */
  readonly fetchText?: FetchText
  /** Default: the system's. */
  readonly fill?: FillRandom
  /** Carries the news of a change to other replicas at once; without it, or while it fails, they hear with their next look. */
  readonly bus?: IdentityBus
  /** What tells a signature that was used at another replica; without it only `noteSigned` does. */
  readonly sharedSignatures?: SharedSignatures
  /** Hears of each signature when it is used first here. */
  readonly onSigned?: (signature: UsedSignature) => void
}

/** Messages to all replicas, this one too; any may be lost. `RedisStore` is one. */
export interface IdentityBus {
  publish(channel: string, message: string): unknown
  subscribe(channel: string, listener: { onMessage(message: string): void; onGap?(): void }): () => void
}

/** An issuer of tokens, and what is known of its keys. */
export interface IssuerState extends KeySetState {
  readonly issuer: string
}

export interface Identity {
  readonly mode: IdentityOptions['mode']
  readonly options: IdentityOptions
  readonly keys: KeyStore
  readonly tenants: TenantStore
  readonly tokens: TokenRevocations
  readonly audit: AuditLog
  /** The verdict on what a request presents; at once for what is known. Not to be asked in open mode. */
  authenticate(presented: Presented, parts: SignedParts): Verdict | Promise<Verdict>
  /** Whether this credential was good before. Reads no store; `authenticate` still decides. */
  wasGood(presented: Presented, parts: SignedParts): boolean
  /** Whether `text` is the scraper's own token. */
  isMetricsToken(text: string): boolean
  /** The issuers whose tokens are taken. */
  issuers(): readonly IssuerState[]
  /** How many keys end soon, by kind; null until the store was asked, and in a mode without keys. */
  keyEnds(): readonly EndsOfKind[] | null
  /** A signature was used in another process of this machine. */
  noteSigned(signature: UsedSignature): void
  /** Another replica revoked or changed something: nothing known counts, and the store is read at once. */
  forget(): void
  /** Reads tenants, fetches the issuers' keys, begins the upkeep. Rejects when the store cannot be reached. */
  start(): Promise<void>
  /** In keys mode without any admin key: makes one and returns its text, once. Null otherwise. */
  makeFirstKey(): Promise<string | null>
  close(): Promise<void>
}

/** Puts the parts together. Throws `invalid_request` for a secret that is too short. */
export function createIdentity(deps: IdentityDeps): Identity {
  const { options, database, clock, events } = deps
  const fill = deps.fill ?? ((bytes: Uint8Array) => void randomFillSync(bytes))
  const peppers = new Peppers(deps.secret, options.previousSecrets)
  const failed = (what: string) => (error: Error) => events.upkeepFailed(what, error.message)
  const audit = new AuditLog({ database, clock, onFailure: failed('audit log') })
  const news = new News(deps.bus)
  const onChanged = (change: Change): void => {
    upkeep.note(change)
    news.tell(change)
  }
  const lists = { database, audit, clock, onChanged }
  const cursorsOf = (list: string) => createCursors(deps.secret, list)
  const keys = new KeyStore({ ...lists, peppers, fill, usualLifeMs: options.keys.lifeMs, cursors: cursorsOf('keys') })
  const tenants = new TenantStore({ ...lists, cursors: cursorsOf('tenants') })
  const revocations = new TokenRevocations({ database, audit, clock, issuers: options.issuers, onChanged })
  const { issuers, keySets } = trustedIssuers(deps, () => authenticator.forget({ kind: 'tokens' }))
  const authenticator = new Authenticator({
    options,
    clock,
    keys: { findSecret: (id) => keys.findSecret(id), findSigner: (fingerprint) => keys.findSigner(fingerprint), peppers, clock },
    signatures: { shared: deps.sharedSignatures ?? null, onUsed: deps.onSigned ?? (() => undefined) },
    tokens: {
      issuers,
      clock,
      limitsOf: tenants.limitsOf,
      isSuspended: tenants.isSuspended,
      isRevoked: revocations.isRevoked,
      isReady: () => upkeep.isReady,
    },
  })
  const ends = new KeyEndsWatch({ database, clock, onFailure: failed('ends of keys') })
  const upkeep: Upkeep = new Upkeep({ keys, tenants, revocations, authenticator, clock, events, lookEveryMs: lookEveryMs(database) })

  return {
    mode: options.mode,
    options,
    keys,
    tenants,
    tokens: revocations,
    audit,
    authenticate: (presented, parts) => counted(decide(authenticator, presented, parts), presented, events),
    wasGood: (presented, parts) => authenticator.wasGood(presented, parts),
    isMetricsToken: tokenCheck(options.metricsToken),
    issuers: () => [...keySets].map(([issuer, keySet]) => ({ issuer, ...keySet.state })),
    keyEnds: () => ends.ends,
    noteSigned: (signature) => authenticator.noteSigned(signature),
    forget: () => upkeep.forget(),
    async start() {
      await tenants.ensureOperator()
      await Promise.all([upkeep.start(), ...[...keySets.values()].map((keySet) => keySet.start())])
      news.hear(upkeep)
      if (takesKeys(options)) ends.start()
    },
    makeFirstKey: () => makeFirstKey(options, keys),
    close: () => closeInOrder({ news, keySets, watches: [ends, upkeep], audit }),
  }
}

interface Closing {
  readonly news: News
  readonly keySets: ReadonlyMap<string, Jwks>
  readonly watches: readonly { close(): Promise<void> }[]
  readonly audit: AuditLog
}

/** The audit log last: it may hear of the others. */
async function closeInOrder({ news, keySets, watches, audit }: Closing): Promise<void> {
  news.close()
  for (const keySet of keySets.values()) keySet.close()
  await Promise.all(watches.map((watch) => watch.close()))
  await audit.close()
}

function takesKeys({ mode }: IdentityOptions): boolean {
  return mode === 'keys' || mode === 'both'
}

/** Compares in a time that tells nothing. */
function tokenCheck(token: string | null): (text: string) => boolean {
  if (token === null) return () => false
  const digest = hash('sha256', token, 'buffer')
  return (text) => timingSafeEqual(hash('sha256', text, 'buffer'), digest)
}

/** Tells other replicas of changes and hears of theirs. */
class News {
  readonly #bus: IdentityBus | undefined
  readonly #sender = randomUUID()
  #stop: (() => void) | null = null

  constructor(bus: IdentityBus | undefined) {
    this.#bus = bus
  }

  tell(change: Change): void {
    this.#bus?.publish(channel, writeNews(this.#sender, change))
  }

  hear(upkeep: Upkeep): void {
    const onMessage = (message: string): void => {
      const news = readNews(message)
      if (news === null) upkeep.forget()
      else if (news.sender !== this.#sender) upkeep.hear(news.change)
    }
    this.#stop = this.#bus?.subscribe(channel, { onMessage, onGap: () => upkeep.lookNow() }) ?? null
  }

  close(): void {
    this.#stop?.()
  }
}

function trustedIssuers({ options, clock, events, ...deps }: IdentityDeps, onKeysRemoved: () => void) {
  const keySets = new Map<string, Jwks>()
  const issuers = new Map<string, TrustedIssuer>()
  for (const issuer of options.issuers) {
    const onFailure = (reason: string): void => events.upkeepFailed(`keys of ${issuer.issuer}`, reason)
    const keySet = new Jwks({ url: issuer.jwksUrl, fetchText: deps.fetchText ?? fetchText, clock, onFailure, onKeysRemoved })
    keySets.set(issuer.issuer, keySet)
    issuers.set(issuer.issuer, { options: issuer, keys: keySet })
  }
  return { issuers, keySets }
}

async function makeFirstKey(options: IdentityOptions, keys: KeyStore): Promise<string | null> {
  if (!takesKeys(options) || (await keys.hasAdmin())) return null
  return (await keys.create(firstKey(options), firstAct)).text
}

function firstKey({ keys }: IdentityOptions) {
  const rights = { scopes: [...scopes], models: null, nodeGroup: null, cache: null, limits: noLimits }
  return { ...rights, tenant: operatorTenant, title: 'made at the first start', lifeMs: keys.lifeMs, publicKey: null }
}

const firstAct: Act = { by: openPrincipal, requestId: '-', address: 'first start' }

function decide(authenticator: Authenticator, presented: Presented, parts: SignedParts): Verdict | Promise<Verdict> {
  switch (presented.kind) {
    case 'token':
      return authenticator.token(presented)
    case 'signature':
      return authenticator.signature(presented.text, parts)
    case 'none':
      return denied('missing')
    case 'malformed':
    case 'ambiguous':
      return denied('malformed')
  }
}

function counted(verdict: Verdict | Promise<Verdict>, presented: Presented, { decided }: IdentityEvents): Verdict | Promise<Verdict> {
  const count = (settled: Verdict): Verdict => {
    if (settled.kind === 'granted') {
      const { method } = settled.principal
      decided(method === 'open' ? 'none' : method, 'granted')
    } else {
      const method = presented.kind === 'signature' ? 'signature' : presented.kind === 'token' ? methodOf(presented.text) : 'none'
      decided(method, settled.kind === 'undecided' ? 'undecided' : settled.reason)
    }
    return settled
  }
  return verdict instanceof Promise ? verdict.then(count) : count(verdict)
}

function methodOf(text: string): 'key' | 'jwt' {
  return text.startsWith('corral_') ? 'key' : 'jwt'
}
