/** `/console/login`: to an issuer of tokens and back. Whatever goes wrong leads to the sign-in page, which says what; the log says why. */
import type { Context, Hono } from 'hono'

import type { Guard } from '../auth/guard.ts'
import type { SignIn } from '../auth/sign-in.ts'
import type { NodeBindings } from '../server.ts'

export interface LoginDeps {
  readonly enabled: () => boolean
  readonly guard: Guard
  readonly signIn: SignIn
  readonly headers: Readonly<Record<string, string>>
  readonly onTrouble: (message: string, cause: unknown) => void
}

/** What the sign-in page is told: `unreachable` issuer, a way that is `over`, `refused` there, `unknown` here, a token `too-long` for a cookie. */
type Failure = 'unreachable' | 'over' | 'refused' | 'unknown' | 'too-long'

/** Adds the routes. */
export function mountLogin(app: Hono<NodeBindings>, { enabled, guard, signIn, headers, onTrouble }: LoginDeps): void {
  const { sessions, logins } = signIn
  const back = (context: Context<NodeBindings>, failure: Failure): Response => context.redirect(`/console/?signin=${failure}`, 302)

  app.get('/console/login', async (context) => {
    if (!enabled() || !guard.closed || sessions === null || logins === null) return context.notFound()
    context.header('cache-control', 'no-store')
    try {
      const departure = await logins.depart(context.req.query('issuer') ?? '')
      if (departure === null) return back(context, 'unknown')
      context.header('set-cookie', departure.cookie)
      return context.redirect(departure.location, 302)
    } catch (error) {
      onTrouble('an issuer of tokens cannot be asked for a login', error)
      return back(context, 'unreachable')
    }
  })

  app.get('/console/login/callback', async (context) => {
    if (!enabled() || !guard.closed || sessions === null || logins === null) return context.notFound()
    context.header('cache-control', 'no-store')
    for (const line of logins.forget()) context.header('set-cookie', line, { append: true })
    try {
      const arrived = await logins.arrive(new URL(context.req.url).search, context.req.header('cookie') ?? '')
      if (arrived === null) return back(context, 'over')
      const principal = await guard.holderOf(arrived.token)
      if (principal === null) return back(context, 'unknown')
      const opened = sessions.open(arrived.token, { isSecure: arrived.isSecure, until: principal.expiresAtWallMs })
      if (opened === null) return back(context, 'too-long')
      context.header('set-cookie', opened.cookie, { append: true })
      // A redirect would go on with the issuer's navigation, and with that no browser sends a cookie that is `Strict`.
      return context.html(onward, 200, headers)
    } catch (error) {
      onTrouble('a login was not completed by its issuer', error)
      return back(context, 'refused')
    }
  })
}

const onward = `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/console/">
<title>Signed in</title><p>Signed in. <a href="/console/">To the console</a></html>`
