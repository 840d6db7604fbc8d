/**
 * From one URL to where Redis is: one server, the Sentinels that know the primary, or the seeds of a cluster. Owns the syntax
 * and nothing else; a URL may hold a password, so no message here repeats it.
 */

/** One host and port. */
export interface RedisHost {
  readonly host: string
  readonly port: number
}

export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster'
  /** At least one; exactly one for `single`. */
  readonly hosts: readonly RedisHost[]
  /** Name of the primary that the Sentinels watch; empty otherwise. */
  readonly primary: string
  readonly encrypted: boolean
  readonly username: string | null
  readonly password: string | null
  /** Number of the database; always 0 in a cluster. */
  readonly database: number
}

const kinds: Readonly<Record<string, { readonly kind: RedisAddress['kind']; readonly encrypted: boolean }>> = {
  redis: { kind: 'single', encrypted: false },
  rediss: { kind: 'single', encrypted: true },
  'redis+sentinel': { kind: 'sentinel', encrypted: false },
  'rediss+sentinel': { kind: 'sentinel', encrypted: true },
  'redis+cluster': { kind: 'cluster', encrypted: false },
  'rediss+cluster': { kind: 'cluster', encrypted: true },
}

const pattern = /^([a-z+]+):\/\/(?:([^@/]*)@)?([^/?#@]+)(?:\/([^?#]*))?$/

/** The parts of `url`; null when it is none of the accepted forms. */
export function parseRedisAddress(url: string): RedisAddress | null {
  const match = pattern.exec(url.trim())
  const form = kinds[match?.[1] ?? '']
  if (match === null || form === undefined) return null
  const hosts = parseHosts(match[3] ?? '', form.kind === 'sentinel' ? 26_379 : 6_379)
  const credentials = parseCredentials(match[2])
  const path = parsePath(form.kind, match[4] ?? '')
  if (hosts === null || credentials === null || path === null) return null
  if (form.kind === 'single' && hosts.length !== 1) return null
  return { ...form, hosts, ...credentials, ...path }
}

function parseHosts(text: string, defaultPort: number): RedisHost[] | null {
  const hosts: RedisHost[] = []
  for (const part of text.split(',')) {
    const match = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(part)
    const port = Number(match?.[2] ?? defaultPort)
    if (match?.[1] === undefined || port < 1 || port > 65_535) return null
    hosts.push({ host: match[1].replace(/^\[|\]$/g, ''), port })
  }
  return hosts
}

function parseCredentials(text: string | undefined): Pick<RedisAddress, 'username' | 'password'> | null {
  if (text === undefined) return { username: null, password: null }
  const colon = text.indexOf(':')
  try {
    const username = decodeURIComponent(colon < 0 ? text : text.slice(0, colon))
    const password = colon < 0 ? null : decodeURIComponent(text.slice(colon + 1))
    return { username: username === '' ? null : username, password: password === '' ? null : password }
  } catch {
    return null
  }
}

/** `/3` is a database; for Sentinels `/name` or `/name/3`. */
function parsePath(kind: RedisAddress['kind'], path: string): Pick<RedisAddress, 'primary' | 'database'> | null {
  const parts = path.split('/')
  const primary = kind === 'sentinel' ? (parts.shift() ?? '') : ''
  if (kind === 'sentinel' && primary === '') return null
  const [database = ''] = parts
  if (parts.length > 1 || !/^\d{0,4}$/.test(database)) return null
  if (kind === 'cluster' && Number(database) !== 0) return null
  return { primary, database: Number(database) }
}
