/**
 * Signing in to the console at an issuer of tokens: OpenID Connect's authorization code flow with PKCE, state and nonce (RFC 9700), by
 * the `openid-client` library, which is loaded when somebody signs in. What has to survive the way there and back is sealed in a cookie
 * of ten minutes. Each issuer has a way of its own, whose id is sealed in as well, so that none can answer for another. The token that
 * comes back is judged like any that a client sends, so an issuer gives nobody more in the console than at the API.
 */
import type * as openidClient from 'openid-client'
import { z } from 'zod'

import type { Clock } from '../../base/clock.ts'
import type { IssuerOptions } from '../../identity/options.ts'
import { Seal } from './seal.ts'
import { valueOf } from './session.ts'

const waySecondsMax = 600
const issuerSecondsMax = 5
const loginPath = '/console/login'

const wayShape = z.strictObject({
  id: z.string(),
  verifier: z.string(),
  state: z.string(),
  nonce: z.string(),
  endsAtWallMs: z.number(),
})

type LoginIssuer = IssuerOptions & { readonly login: NonNullable<IssuerOptions['login']> }

/** Where a browser is sent, and what it takes along. */
export interface Departure {
  readonly location: string
  readonly cookie: string
}

export interface Arrived {
  readonly token: string
  /** Of the console as the browser knows it: whether a cookie may say so. */
  readonly isSecure: boolean
}

interface IssuerClient {
  readonly oidc: typeof openidClient
  readonly config: openidClient.Configuration
}

export interface LoginsDeps {
  readonly secret: string
  readonly clock: Pick<Clock, 'wallMs'>
}

export class Logins {
  /** By the id of their login. */
  readonly #issuers: ReadonlyMap<string, LoginIssuer>
  readonly #seal: Seal
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #clients = new Map<string, Promise<IssuerClient>>()

  constructor(issuers: readonly IssuerOptions[], { secret, clock }: LoginsDeps) {
    this.#issuers = new Map(issuers.flatMap(({ login, ...issuer }) => (login === null ? [] : [[login.id, { ...issuer, login }]])))
    this.#seal = new Seal(secret, 'corral console login 1')
    this.#clock = clock
  }

  /** Those that a person can choose: what to call them, and where a sign-in there begins, under the address that its cookies are for. */
  get choices(): { readonly url: string; readonly title: string }[] {
    return [...this.#issuers.values()].map(({ issuer, login }) => ({
      url: new URL(`${loginPath}/${login.id}`, login.consoleUrl).href,
      title: login.title ?? new URL(issuer).host,
    }))
  }

  /** Null for an id that no login has. Rejects when the issuer cannot be reached. */
  async depart(id: string): Promise<Departure | null> {
    const issuer = this.#issuers.get(id)
    if (issuer === undefined) return null
    const { oidc, config } = await this.#clientOf(issuer)
    const verifier = oidc.randomPKCECodeVerifier()
    const way = { id, verifier, state: oidc.randomState(), nonce: oidc.randomNonce() }
    const location = oidc.buildAuthorizationUrl(config, {
      ...issuer.login.parameters,
      redirect_uri: callbackOf(issuer).href,
      scope: issuer.login.scopes.join(' '),
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state: way.state,
      nonce: way.nonce,
    })
    const sealed = this.#seal.seal({ ...way, endsAtWallMs: this.#clock.wallMs() + waySecondsMax * 1_000 })
    return { location: location.href, cookie: cookieLine(issuer, sealed, waySecondsMax) }
  }

  /**
   * Who comes back on the way of `id` with `query` and the cookies; null for a way that was not begun here, or is over. Rejects when the
   * issuer says no.
   */
  async arrive(id: string, { query, cookies }: { readonly query: string; readonly cookies: string }): Promise<Arrived | null> {
    const issuer = this.#issuers.get(id)
    if (issuer === undefined) return null
    const sealed = valueOf(cookies, cookieNameOf(issuer))
    const way = sealed === null ? undefined : wayShape.safeParse(this.#seal.open(sealed)).data
    if (way === undefined || way.id !== id || way.endsAtWallMs <= this.#clock.wallMs()) return null
    const url = callbackOf(issuer)
    url.search = query
    const { oidc, config } = await this.#clientOf(issuer)
    const tokens = await oidc.authorizationCodeGrant(config, url, {
      pkceCodeVerifier: way.verifier,
      expectedState: way.state,
      expectedNonce: way.nonce,
      idTokenExpected: true,
    })
    const { id_token: idToken = '', access_token: accessToken } = tokens
    return { token: issuer.login.credential === 'id_token' ? idToken : accessToken, isSecure: isSecure(issuer) }
  }

  /** The `Set-Cookie` that ends the way of `id`; null for an id that no login has. */
  forget(id: string): string | null {
    const issuer = this.#issuers.get(id)
    return issuer === undefined ? null : cookieLine(issuer, '', 0)
  }

  /** What the issuer says of itself, asked once; after a failure again. */
  #clientOf(issuer: LoginIssuer): Promise<IssuerClient> {
    const { id } = issuer.login
    const known = this.#clients.get(id)
    if (known !== undefined) return known
    const client = discover(issuer)
    this.#clients.set(id, client)
    client.catch(() => this.#clients.delete(id))
    return client
  }
}

async function discover({ issuer, login }: LoginIssuer): Promise<IssuerClient> {
  const oidc = await import('openid-client')
  const url = new URL(issuer)
  const authentication = login.clientSecret === undefined ? oidc.None() : oidc.ClientSecretPost(login.clientSecret)
  // Plain http only towards this machine, as the options have it.
  const execute = url.protocol === 'http:' ? [oidc.allowInsecureRequests] : []
  return { oidc, config: await oidc.discovery(url, login.clientId, undefined, authentication, { execute, timeout: issuerSecondsMax }) }
}

function callbackOf({ login }: LoginIssuer): URL {
  return new URL(`${loginPath}/${login.id}/callback`, login.consoleUrl)
}

function isSecure({ login }: LoginIssuer): boolean {
  return login.consoleUrl.startsWith('https:')
}

/** With the prefix, browsers take the cookie only from this very host and only over https. */
function cookieNameOf(issuer: LoginIssuer): string {
  return isSecure(issuer) ? '__Host-corral-login' : 'corral-login'
}

/** `Lax`, for the way back begins on the issuer's page. */
function cookieLine(issuer: LoginIssuer, value: string, seconds: number): string {
  const scope = isSecure(issuer) ? 'Path=/; Secure' : `Path=${loginPath}`
  return `${cookieNameOf(issuer)}=${value}; ${scope}; HttpOnly; SameSite=Lax; Max-Age=${seconds}`
}
