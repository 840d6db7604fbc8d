/**
 * Origin and host checks as the real server's CORS layer does them: a foreign origin is refused even for a plain GET, a
 * preflight is answered before routing, a foreign host is refused on loopback.
 */
import { isIP } from 'node:net'
import type { Answer } from './answer.ts'

const allowHeaders =
  'Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout'

const localOrigin = /^https?:\/\/(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?$/
const appOrigin = /^(app|file|tauri|vscode-webview|vscode-file):\/\//

/** Whether a node bound to loopback answers for this `Host`. */
export function isAllowedHost(host: string): boolean {
  const name = host
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase()
  if (name === '' || name === 'localhost' || isIP(name) !== 0) return true
  return /\.(localhost|local|internal)$/.test(name)
}

/** Sets the CORS headers; false when the request was answered here. */
export function checkOrigin(answer: Answer, facts: { readonly any: boolean; readonly host: string }): boolean {
  const { origin } = answer.request.headers
  if (origin === undefined || origin === `http://${facts.host}` || origin === `https://${facts.host}`) return true
  if (!facts.any && !localOrigin.test(origin) && !appOrigin.test(origin)) {
    answer.request.resume()
    answer.whole(403, null, null)
    return false
  }
  answer.set('Access-Control-Allow-Origin', facts.any ? '*' : origin)
  if (answer.request.method === 'OPTIONS') {
    preflight(answer, facts.any)
    return false
  }
  if (!facts.any) answer.set('Vary', 'Origin')
  return true
}

function preflight(answer: Answer, any: boolean): void {
  answer.set('Access-Control-Allow-Headers', allowHeaders)
  answer.set('Access-Control-Allow-Methods', 'GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS')
  answer.set('Access-Control-Max-Age', '43200')
  if (!any) for (const value of ['Origin', 'Access-Control-Request-Method', 'Access-Control-Request-Headers']) answer.add('Vary', value)
  answer.request.resume()
  answer.whole(204, null, null)
}
