/** Commands that are copied into a shell. None holds a credential: a key is named in the environment. */

/** For a POSIX shell, whatever stands in the text. */
export const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

export interface ShellPlace {
  /** Of the gateway, with the path that a proxy put before its own. */
  readonly origin: string
  readonly needsKey: boolean
}

export interface CurlRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  /** Arguments that make the body; none: it has none. */
  readonly body: readonly string[]
}

export function curl({ method, target, headers, body }: CurlRequest, { origin, needsKey }: ShellPlace): string {
  const verb = method === (body.length === 0 ? 'GET' : 'POST') ? [] : [`-X ${method}`]
  const key = needsKey ? ['-H "authorization: Bearer $CORRAL_API_KEY"'] : []
  const others = Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`)
  return [`curl -N ${[...verb, quoted(origin + target)].join(' ')}`, ...key, ...others, ...body].join(' \\\n  ')
}
