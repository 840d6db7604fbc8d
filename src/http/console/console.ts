/**
 * `/console/`: the web console's files, its session, and nothing else. Every page of it is one document, so a path without a file
 * gets that. The policy lets the browser load from here only, and run no script that stands in a page.
 */
import type { Context, Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import type { Principal } from '../../core/principal.ts'
import { isOperator } from '../../identity/grants.ts'
import { readPresented } from '../../identity/presented.ts'
import type { Guard } from '../auth/guard.ts'
import { pathWithKey } from '../auth/path-key.ts'
import { consoleHeader, speaksHttps } from '../auth/session.ts'
import type { SignIn } from '../auth/sign-in.ts'
import { json, ownRoute, type OwnRouteDeps } from '../own-route.ts'
import { type Asset, sendAsset } from '../send-asset.ts'
import type { NodeBindings } from '../server.ts'
import { loadAssets } from './assets.ts'
import { mountLogin } from './login.ts'

export interface ConsoleDeps extends OwnRouteDeps {
  /** False: the routes answer as if they were not there, and no session counts. */
  readonly enabled: () => boolean
  readonly guard: Guard
  readonly signIn: SignIn
  readonly onTrouble: (message: string, cause: unknown) => void
  readonly version: string
  /** Default: what the build made. */
  readonly assets?: () => ReadonlyMap<string, Asset>
}

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "font-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

const documentHeaders = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
}

/** What a checkout without a build shows. */
const unbuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Corral: the console is not built</title>
<h1>The console is not built</h1>
<p>The gateway itself runs. <code>npm run build</code> makes the console; reload this page afterwards.
<p>Until then: <code>corral top</code>, <code>corral nodes</code>, <code>/admin/fleet</code>.</html>`

/** The one document for a page below `/console/`: its links are relative, so that they hold behind a proxy that put a path before all of them. */
function pageAt(name: string, page: Asset): Asset {
  const depth = name.split('/').length - 1
  if (depth === 0) return page
  const bytes = Buffer.from(page.bytes.toString().replaceAll(/(?<=(?:href|src)=")\.\//g, '../'.repeat(depth)))
  return { ...page, bytes, etag: `"${depth}-${page.etag.slice(1)}`, gzip: null, brotli: null }
}

/** Adds the routes. */
export function mountConsole(app: Hono<NodeBindings>, deps: ConsoleDeps): void {
  mountSession(app, deps)
  mountLogin(app, { ...deps, headers: documentHeaders })
  let assets: ReadonlyMap<string, Asset> = new Map()
  app.get('/console', (context) =>
    deps.enabled() ? context.redirect(pathWithKey(context.env.incoming, '/console/'), 301) : context.notFound(),
  )
  app.get('/console/*', (context) => {
    if (!deps.enabled()) return context.notFound()
    if (assets.size === 0) assets = (deps.assets ?? loadAssets)()
    const name = context.req.path.slice('/console/'.length)
    const asset = assets.get(name)
    if (asset !== undefined) return sendAsset(context, asset, documentHeaders)
    // What looks like a file and is none; pages of the console have no dot in their path.
    if (name.startsWith('assets/') || name.includes('.')) return context.notFound()
    const page = assets.get('index.html')
    if (page !== undefined) return sendAsset(context, pageAt(name, page), documentHeaders)
    return context.body(unbuilt, 503, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', ...documentHeaders })
  })
}

function mountSession(app: Hono<NodeBindings>, deps: ConsoleDeps): void {
  const { guard, version, enabled } = deps
  const { sessions, logins } = deps.signIn
  const on = (method: 'GET' | 'POST' | 'DELETE', handler: (context: Context<NodeBindings>) => Promise<Response>): void => {
    const handle = ownRoute({ newId: deps.newId, guard, ...(deps.onBug === undefined ? {} : { onBug: deps.onBug }) }, handler)
    app.on(method, '/console/session', (context) => (enabled() ? handle(context) : context.notFound()))
  }
  on('GET', async (context) => {
    const principal = await guard.sessionOf(context.env.incoming)
    const choices = guard.closed ? (logins?.choices ?? []) : []
    return json(context, { version, needsKey: guard.closed, logins: choices, caller: principal === null ? null : callerOf(principal) })
  })
  on('POST', async (context) => {
    const { incoming } = context.env
    const principal = guard.principalOf(incoming)
    const presented = readPresented(incoming.rawHeaders, null)
    if (sessions === null || !guard.closed) return json(context, { version, needsKey: false, caller: callerOf(principal) })
    if (presented.kind !== 'token') throw new CorralError('invalid_request', 'a session is opened with "Authorization: Bearer" and a key')
    const opened = sessions.open(presented.text, { isSecure: speaksHttps(incoming), until: principal.expiresAtWallMs })
    if (opened === null) throw new CorralError('invalid_request', 'this token is too long for a cookie; use an API key')
    context.header('set-cookie', opened.cookie)
    const endsAt = new Date(opened.endsAtWallMs).toISOString()
    return json(context, { version, needsKey: true, caller: callerOf(principal), endsAt })
  })
  on('DELETE', async (context) => {
    if (context.req.header(consoleHeader) === undefined) {
      throw new CorralError('origin_refused', `ending a session needs the header ${consoleHeader}`)
    }
    for (const line of sessions?.end(context.env.incoming) ?? []) context.header('set-cookie', line, { append: true })
    return context.body(null, 204)
  })
}

function callerOf(principal: Principal) {
  const { tenant, subject, method, scopes, expiresAtWallMs } = principal
  return {
    tenant,
    subject,
    method,
    scopes: [...scopes],
    operator: isOperator(principal),
    expiresAt: expiresAtWallMs === null ? null : new Date(expiresAtWallMs).toISOString(),
  }
}
