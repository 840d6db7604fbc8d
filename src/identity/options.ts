/** Options of identity. `config/default.yaml` explains each key. */
import { z } from 'zod'

import { limitSetShape } from '../core/limit-set.ts'
import { durationMs } from '../core/options.ts'
import { cacheModes, scopes } from '../core/principal.ts'

/** Signature algorithms with two different keys; one with a shared key would let whoever can verify also sign. */
export const jwtAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const

const yearMs = 366 * 86_400_000

/** https; plain http only towards this machine, where nobody is in between. */
function isPinnedUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || url.username !== '' || url.password !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname))
}

function isOrigin(text: string): boolean {
  return isPinnedUrl(text) && URL.parse(text)?.origin === text
}

const scopeList = z.array(z.enum(scopes))

/**
 * A rule that gives a token one of several things: the first entry of `map` whose name the claim has (its text, a word of it or an item
 * of its list), else `default`. Entries whose names are whole numbers come before all others, as in every JavaScript object.
 */
function choiceOf<T extends z.ZodType>(thing: T) {
  return z
    .strictObject({
      claim: z.string().min(1).default('groups'),
      map: z.record(z.string(), thing).default({}),
      default: thing.nullable().default(null),
    })
    .prefault({})
}

/** The console as a client of the issuer (OpenID Connect, authorization code with PKCE). */
const loginOptions = z.strictObject({
  /** Its name in the way there and back, so that no issuer can send somebody back on the way of another (RFC 9700 §4.4). */
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'expected up to 32 small letters, digits and dashes'),
  clientId: z.string().min(1).max(512),
  /** Left out: a public client, which PKCE alone protects. */
  clientSecret: z.string().min(1).optional(),
  /** Where browsers find this gateway, without a path; the issuer must allow its `/console/login/<id>/callback`. */
  consoleUrl: z.string().refine(isOrigin, 'expected https://host or https://host:port without a path (http only for 127.0.0.1)'),
  scopes: z
    .array(z.string().regex(/^[!#-[\]-~]+$/))
    .refine((asked) => asked.includes('openid'), 'expected openid among them')
    .default(['openid']),
  /** Further parameters of the authorization request, e.g. the `audience` or `resource` that some issuers want. */
  parameters: z.record(z.string(), z.string()).default({}),
  /** Which of the two tokens is the credential; it has to meet everything else that is said of the issuer here. */
  credential: z.enum(['access_token', 'id_token']).default('access_token'),
  /** What the sign-in page calls it; left out: the issuer's host. */
  title: z.string().min(1).max(64).optional(),
})

const issuerShape = z.strictObject({
  /** Exact value of `iss`. */
  issuer: z.string().min(1).max(512),
  /** A token must be meant for one of these. */
  audience: z.array(z.string().min(1)).min(1),
  /** Where the issuer's keys are. */
  jwksUrl: z.string().refine(isPinnedUrl, 'expected an https URL without credentials (http only for 127.0.0.1)'),
  algorithms: z.array(z.enum(jwtAlgorithms)).min(1).default(['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519']),
  /** Expected `typ` of the header; null accepts any, for issuers that send none. */
  typ: z.string().min(1).nullable().default('at+jwt'),
  /** Claims without which a token is refused; `exp`, `iat` and `sub` always are. */
  requiredClaims: z.array(z.string().min(1)).default([]),
  tokenAgeMsMax: durationMs(86_400_000, { minMs: 1_000 }),
  clockToleranceMs: durationMs(30_000, { maxMs: 300_000 }),
  tenant: z
    .strictObject({
      /** A name at the top of the token, else a path with dots. */
      claim: z.string().min(1).default('sub'),
      /** Value of the claim to a tenant by name. A value that is not here gets a tenant of its own. */
      map: z.record(z.string(), z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)).default({}),
      /** Whether a value that `map` does not have is refused. */
      mappedOnly: z.boolean().default(false),
    })
    .prefault({}),
  scopes: z
    .strictObject({
      claim: z.string().min(1).default('scope'),
      /** A value of the claim (a word of a text, an item of a list) to scopes. Values that are not here give nothing. */
      map: z.record(z.string(), scopeList).default({}),
      /** Scopes of every token of this issuer. */
      default: scopeList.default([]),
    })
    .prefault({}),
  /** Which nodes serve the token: a value of the claim to a `group` of `fleet.nodes`. Null: all nodes. */
  nodeGroup: choiceOf(z.string().min(1).max(64)),
  /** Which of its answers are cached; null: as configured. */
  cache: choiceOf(z.enum(cacheModes)),
  /** Limits of its subject; null: those of `limits.credential`. */
  limits: choiceOf(limitSetShape),
  /** Signing in to the console there; null: it cannot be done. */
  login: loginOptions.nullable().default(null),
})
export const issuerOptions = issuerShape.refine(({ issuer, login }) => login === null || isPinnedUrl(issuer), {
  path: ['issuer'],
  message: 'expected an https URL, for it has a login (http only for 127.0.0.1)',
})
export type IssuerOptions = z.infer<typeof issuerOptions>

/** Whether no two have a login of the same id. */
function haveOwnLogins(issuers: readonly IssuerOptions[]): boolean {
  const ids = issuers.flatMap(({ login }) => (login === null ? [] : [login.id]))
  return new Set(ids).size === ids.length
}

export const identityOptions = z.strictObject({
  mode: z.enum(['open', 'keys', 'jwt', 'both']).default('open'),
  /** Former values of `secret`, whose keys go on working. */
  previousSecrets: z.array(z.string().min(32)).max(4).default([]),
  /** A scraper's bearer token for `/metrics` alone. Null: a key with the scope `metrics`. */
  metricsToken: z.string().min(16).nullable().default(null),
  keys: z
    .strictObject({
      /** Life of a key for which none was asked. */
      lifeMs: durationMs(90 * 86_400_000, { minMs: 60_000, maxMs: 10 * yearMs }),
      /** How long a rotated key goes on working. */
      overlapMs: durationMs(86_400_000, { maxMs: 90 * 86_400_000 }),
      cacheMs: durationMs(60_000, { minMs: 1_000, maxMs: 60_000 }),
      /** How much longer a key that was seen works while the store is down. */
      outageMs: durationMs(60_000, { maxMs: 60_000 }),
      cacheMax: z.int().min(16).max(1_000_000).default(10_000),
    })
    .prefault({}),
  signatures: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** How far a signature's time may be from ours. */
      windowMs: durationMs(60_000, { minMs: 1_000, maxMs: 300_000 }),
      /** How long the same signature is taken again: clients sign whole seconds, so two requests of one second share it. */
      replayMs: durationMs(2_000, { maxMs: 60_000 }),
    })
    .prefault({}),
  issuers: z.array(issuerOptions).max(32).refine(haveOwnLogins, 'expected a login.id of its own for each').default([]),
})

export type IdentityOptions = z.infer<typeof identityOptions>
