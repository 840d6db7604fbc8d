/**
 * A key in the path, for clients that can only be given a URL: `OLLAMA_HOST=http://host:11435/k/<key>`. It is taken out before
 * anything else looks at the target, so that no route, log line or error ever sees it.
 */
import type { IncomingMessage } from 'node:http'

const prefix = '/k/'
/** Keys taken, for redirects. */
const taken = new WeakMap<IncomingMessage, string>()

/** Takes the key out of `incoming.url` and returns it; null when there is none. */
export function takePathKey(incoming: IncomingMessage): string | null {
  const target = incoming.url ?? '/'
  if (!target.startsWith(prefix)) return null
  const end = target.slice(prefix.length).search(/[/?]/)
  const key = end < 0 ? target.slice(prefix.length) : target.slice(prefix.length, prefix.length + end)
  const rest = end < 0 ? '' : target.slice(prefix.length + end)
  incoming.url = rest.startsWith('/') ? rest : `/${rest}`
  taken.set(incoming, key)
  return key
}

/** A path of this gateway as a client of this request has to ask for it: with the key that was in the path, where one was. */
export function pathWithKey(incoming: IncomingMessage, path: string): string {
  const key = taken.get(incoming)
  return key === undefined ? path : `${prefix}${key}${path}`
}
