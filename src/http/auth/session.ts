/**
 * The console's session: a cookie that holds a credential, sealed under the secret of the installation. Nothing is kept here, so
 * every replica opens it, and the credential is judged anew with each request: one that is revoked or over ends the session. A
 * change made with a cookie must carry a header that no form and no foreign page can send, for cookies go along by themselves.
 */
import type { IncomingMessage } from 'node:http'

import { z } from 'zod'

import type { Clock } from '../../base/clock.ts'
import type { Presented } from '../../identity/presented.ts'
import { Seal } from './seal.ts'

/** A working day. */
const sessionMsMax = 12 * 3_600_000
/** Browsers drop cookies beyond 4,096 bytes with their name and attributes. */
const sealedCharactersMax = 3_900

/** The prefix makes browsers refuse the cookie unless it is `Secure`, of this very host, and for all paths. */
const secureName = '__Host-corral-session'
const plainName = 'corral-session'
const attributes = 'Path=/; HttpOnly; SameSite=Strict'

/** What a change must carry; its value does not matter. */
export const consoleHeader = 'x-corral-console'

const readers = new Set(['GET', 'HEAD', 'OPTIONS'])
const sealedShape = z.strictObject({ token: z.string(), endsAtWallMs: z.number() })

/** The credential of a session; `forged`: a change that the console did not send. */
export type SessionCredential = Presented | { readonly kind: 'forged' }

const none: SessionCredential = { kind: 'none' }

export interface SessionsDeps {
  /** Of the installation. */
  readonly secret: string
  readonly clock: Pick<Clock, 'wallMs'>
  readonly enabled: () => boolean
}

export class Sessions {
  readonly #seal: Seal
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #enabled: () => boolean

  constructor({ secret, clock, enabled }: SessionsDeps) {
    this.#seal = new Seal(secret, 'corral console session 1')
    this.#clock = clock
    this.#enabled = enabled
  }

  /** The `Set-Cookie` of a new session for `token`, and when it ends; null when the credential is too long for a cookie. */
  open(token: string, { isSecure, until }: { readonly isSecure: boolean; readonly until: number | null }) {
    const endsAtWallMs = Math.min(this.#clock.wallMs() + sessionMsMax, until ?? Infinity)
    const text = this.#seal.seal({ token, endsAtWallMs })
    if (text.length > sealedCharactersMax) return null
    const seconds = Math.max(0, Math.floor((endsAtWallMs - this.#clock.wallMs()) / 1_000))
    const [name, suffix] = isSecure ? [secureName, '; Secure'] : [plainName, '']
    return { cookie: `${name}=${text}; ${attributes}; Max-Age=${seconds}${suffix}`, endsAtWallMs }
  }

  /** The `Set-Cookie` lines that end a session. */
  end(incoming: IncomingMessage): string[] {
    const gone = `${plainName}=; ${attributes}; Max-Age=0`
    return speaksHttps(incoming) ? [gone, `${secureName}=; ${attributes}; Max-Age=0; Secure`] : [gone]
  }

  /** The credential in the cookie of a request; `none` for no session, one that is over, or one of another installation. */
  read(incoming: IncomingMessage): SessionCredential {
    const { cookie, origin, host } = incoming.headers
    if (cookie === undefined || !this.#enabled()) return none
    if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) return none
    // Over https only what is bound to this host counts: whoever shares the domain could have set the other.
    const plain = incoming.headers['x-forwarded-proto'] === 'https' ? null : valueOf(cookie, plainName)
    const sealed = valueOf(cookie, secureName) ?? plain
    const session = sealed === null ? undefined : sealedShape.safeParse(this.#seal.open(sealed)).data
    if (session === undefined || session.endsAtWallMs <= this.#clock.wallMs()) return none
    if (!readers.has(incoming.method ?? 'GET') && incoming.headers[consoleHeader] === undefined) return { kind: 'forged' }
    return { kind: 'token', text: session.token }
  }
}

/** Whether the browser speaks https to whatever stands in front: it says so itself in the `Origin` of what a page sends. */
export function speaksHttps({ headers }: IncomingMessage): boolean {
  return headers.origin?.startsWith('https://') === true
}

/** Value of the cookie `name` in a `Cookie` header; null: none. */
export function valueOf(cookie: string, name: string): string | null {
  for (const part of cookie.split(';')) {
    const trimmed = part.trim()
    if (trimmed.startsWith(`${name}=`)) return trimmed.slice(name.length + 1)
  }
  return null
}
