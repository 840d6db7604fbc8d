/** `/console/login`: to an issuer of tokens and back. Whatever goes wrong leads to the sign-in page, which says what; the log says why. */
import type { Context, Hono } from 'hono'
import { z } from 'zod'

import type { Guard } from '../auth/guard.ts'
import type { Logins } from '../auth/login.ts'
import type { Sessions } from '../auth/session.ts'
import type { SignIn } from '../auth/sign-in.ts'
import type { NodeBindings } from '../server.ts'

export interface LoginDeps {
  readonly enabled: () => boolean
  readonly guard: Guard
  readonly signIn: SignIn
  readonly headers: Readonly<Record<string, string>>
  readonly onTrouble: (message: string, cause: unknown) => void
}

/**
 * What the sign-in page is told: the issuer cannot be reached, the way is over, the issuer said no, the holder is unknown here or cannot be
 * looked up now, the address has to wait, the token does not fit into a cookie.
 */
type Failure = 'unreachable' | 'over' | 'refused' | 'unknown' | 'undecided' | 'limited' | 'too-long'
/** Those that count against the address. */
const vain: ReadonlySet<Failure> = new Set<Failure>(['over', 'refused', 'unknown'])

type LoginContext = Context<NodeBindings, '/console/login/:id'>
type Step = (context: LoginContext, parts: { readonly logins: Logins; readonly sessions: Sessions }) => Promise<Response | Failure>

const wordsMax = 500

/** Adds the routes. */
export function mountLogin(app: Hono<NodeBindings>, { enabled, guard, signIn, headers, onTrouble }: LoginDeps): void {
  const { sessions, logins } = signIn
  const on = (path: '/console/login/:id' | '/console/login/:id/callback', step: Step): void => {
    app.get(path, async (context: LoginContext) => {
      if (!enabled() || !guard.closed || sessions === null || logins === null) return context.notFound()
      const { incoming } = context.env
      context.header('cache-control', 'no-store')
      const result = guard.waitMs(incoming) > 0 ? 'limited' : await step(context, { logins, sessions })
      if (typeof result !== 'string') return result
      if (vain.has(result)) guard.charge(incoming)
      return context.redirect(`/console/?signin=${result}`, 302)
    })
  }

  on('/console/login/:id', async (context, parts) => {
    try {
      const departure = await parts.logins.depart(context.req.param('id'))
      if (departure === null) return await context.notFound()
      context.header('set-cookie', departure.cookie)
      return context.redirect(departure.location, 302)
    } catch (error) {
      onTrouble('an issuer of tokens cannot be asked for a login', inWords(error))
      return 'unreachable'
    }
  })

  on('/console/login/:id/callback', async (context, parts) => {
    const id = context.req.param('id')
    const end = parts.logins.forget(id)
    if (end !== null) context.header('set-cookie', end, { append: true })
    const way = { query: new URL(context.req.url).search, cookies: context.req.header('cookie') ?? '' }
    const arrived = await parts.logins.arrive(id, way).catch((error: unknown) => {
      onTrouble('a login was not completed by its issuer', inWords(error))
      return 'refused' as const
    })
    if (arrived === null) return 'over'
    if (arrived === 'refused') return arrived
    const verdict = await guard.judge(arrived.token)
    if (verdict.kind === 'undecided') {
      onTrouble('who comes from a login cannot be looked up', verdict.error)
      return 'undecided'
    }
    if (verdict.kind === 'denied') {
      onTrouble('a login gave a token that does not count here', new Error(verdict.reason))
      return 'unknown'
    }
    const opened = parts.sessions.open(arrived.token, { isSecure: arrived.isSecure, until: verdict.principal.expiresAtWallMs })
    if (opened === null) return 'too-long'
    context.header('set-cookie', opened.cookie, { append: true })
    // A redirect would go on with the issuer's navigation, and with that no browser sends a cookie that is `Strict`.
    return context.html(onward, 200, headers)
  })
}

const onward = `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/console/">
<title>Signed in</title><p>Signed in. <a href="/console/">To the console</a></html>`

/** What the OpenID library says with an error, in short texts. */
const saidShape = z.object({
  message: z.string(),
  code: z.string().optional().catch(undefined),
  error: z.string().optional().catch(undefined),
  error_description: z.string().optional().catch(undefined),
})

/** An error with the same words and nothing else: the library's have whole answers as their cause, with codes and tokens in them. */
function inWords(error: unknown): Error {
  const { data } = saidShape.safeParse(error)
  const words =
    data === undefined
      ? 'unknown error'
      : Object.values(data)
          .filter((word) => word !== undefined)
          .join(': ')
  return new Error(words.slice(0, wordsMax))
}
