/**
 * `/docs/` and `/llms.txt`: the manual of the version that runs, readable where there is no other network. It holds nothing secret and runs no script,
 * so it asks for no key and its policy lets nothing in but its own stylesheet and pictures.
 */
import type { Context, Hono } from 'hono'

import { pathWithKey } from '../auth/path-key.ts'
import { sendAsset } from '../send-asset.ts'
import type { NodeBindings } from '../server.ts'
import { type Library, openLibrary } from './library.ts'

export interface DocsDeps {
  /** False: the routes answer as if they were not there. */
  readonly enabled: () => boolean
  readonly onBug: (error: unknown) => void
  /** Default: what stands beside the program. */
  readonly open?: () => Library
}

const safeHeaders = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
}

/** Adds the routes. */
export function mountDocs(app: Hono<NodeBindings>, { enabled, onBug, open = openLibrary }: DocsDeps): void {
  let library: Library | null = null
  app.get('/docs', (context) => (enabled() ? context.redirect(pathWithKey(context.env.incoming, '/docs/'), 301) : context.notFound()))
  const send = async (context: Context<NodeBindings>, name: string): Promise<Response> => {
    if (!enabled()) return context.notFound()
    try {
      library ??= open()
      const leaf = await library.find(name)
      return await (leaf === null ? context.notFound() : sendAsset(context, leaf, safeHeaders))
    } catch (error) {
      onBug(error)
      return context.body('the page cannot be read', 500, { 'content-type': 'text/plain', 'cache-control': 'no-store' })
    }
  }
  app.get('/docs/*', (context) => send(context, context.req.path.slice('/docs/'.length)))
  app.get('/llms.txt', (context) => send(context, '../llms.txt'))
}
