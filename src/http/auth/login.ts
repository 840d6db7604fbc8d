/**
 * Signing in to the console at an issuer of tokens: OpenID Connect's authorization code flow with PKCE, state and nonce (RFC 9700), by the
 * `openid-client` library, which is loaded when somebody signs in. What has to survive the way there and back is sealed in a cookie of ten minutes. The token that comes back is judged
 * like any that a client sends, so an issuer gives nobody more in the console than at the API.
 */
import type * as openidClient from 'openid-client'
import { z } from 'zod'

import type { Clock } from '../../base/clock.ts'
import type { IssuerOptions } from '../../identity/options.ts'
import { Seal } from './seal.ts'

const waySecondsMax = 600
const issuerSecondsMax = 5
const callbackPath = '/console/login/callback'
const cookieName = 'corral-login'

const wayShape = z.strictObject({
  issuer: z.string(),
  verifier: z.string(),
  state: z.string(),
  nonce: z.string(),
  endsAtWallMs: z.number(),
})

export type LoginIssuer = IssuerOptions & { readonly login: NonNullable<IssuerOptions['login']> }

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
  readonly #issuers: ReadonlyMap<string, LoginIssuer>
  readonly #seal: Seal
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #clients = new Map<string, Promise<IssuerClient>>()

  constructor(issuers: readonly IssuerOptions[], { secret, clock }: LoginsDeps) {
    this.#issuers = new Map(
      issuers.flatMap((issuer) => (issuer.login === null ? [] : [[issuer.issuer, { ...issuer, login: issuer.login }]])),
    )
    this.#seal = new Seal(secret, 'corral console login 1')
    this.#clock = clock
  }

  /** Those that a person can choose, with what to call them. */
  get choices(): { readonly issuer: string; readonly title: string }[] {
    return [...this.#issuers].map(([issuer, { login }]) => ({ issuer, title: login.title ?? new URL(issuer).host }))
  }

  /** Null for an issuer without a login. Rejects when the issuer cannot be reached. */
  async depart(name: string): Promise<Departure | null> {
    const issuer = this.#issuers.get(name)
    if (issuer === undefined) return null
    const { oidc, config } = await this.#clientOf(issuer)
    const verifier = oidc.randomPKCECodeVerifier()
    const way = { verifier, state: oidc.randomState(), nonce: oidc.randomNonce() }
    const location = oidc.buildAuthorizationUrl(config, {
      ...issuer.login.parameters,
      redirect_uri: callbackOf(issuer).href,
      scope: issuer.login.scopes.join(' '),
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state: way.state,
      nonce: way.nonce,
    })
    const sealed = this.#seal.seal({ issuer: name, ...way, endsAtWallMs: this.#clock.wallMs() + waySecondsMax * 1_000 })
    return { location: location.href, cookie: cookieLine(sealed, { seconds: waySecondsMax, issuer }) }
  }

  /** Who comes back with `query` and the cookie; null for a way that was not begun here, or is over. Rejects when the issuer says no. */
  async arrive(query: string, cookies: string): Promise<Arrived | null> {
    const sealed = new RegExp(`(?:^|; *)${cookieName}=([\\w-]+)`).exec(cookies)?.[1]
    const way = wayShape.safeParse(sealed === undefined ? undefined : this.#seal.open(sealed)).data
    const issuer = way === undefined ? undefined : this.#issuers.get(way.issuer)
    if (way === undefined || issuer === undefined || way.endsAtWallMs <= this.#clock.wallMs()) return null
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
    return { token: issuer.login.credential === 'id_token' ? idToken : accessToken, isSecure: url.protocol === 'https:' }
  }

  /** The `Set-Cookie` lines that end every way. */
  forget(): string[] {
    return [...this.#issuers.values()].slice(0, 1).map((issuer) => cookieLine('', { seconds: 0, issuer }))
  }

  /** What the issuer says of itself, asked once; after a failure again. */
  #clientOf(issuer: LoginIssuer): Promise<IssuerClient> {
    const known = this.#clients.get(issuer.issuer)
    if (known !== undefined) return known
    const client = discover(issuer)
    this.#clients.set(issuer.issuer, client)
    client.catch(() => this.#clients.delete(issuer.issuer))
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
  return new URL(callbackPath, login.consoleUrl)
}

/** `Lax`, for the way back begins on the issuer's page. */
function cookieLine(value: string, { seconds, issuer }: { readonly seconds: number; readonly issuer: LoginIssuer }): string {
  const secure = issuer.login.consoleUrl.startsWith('https:') ? '; Secure' : ''
  return `${cookieName}=${value}; Path=/console/login; HttpOnly; SameSite=Lax; Max-Age=${seconds}${secure}`
}
