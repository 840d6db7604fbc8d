/**
 * Which headers cross the gateway. Towards a node: no hop-by-hop header, none that a node would act on in a client's name
 * (credentials, origin, host, forwarding), none that undici sets itself. Towards a client: end-to-end headers only; never
 * `connection`, because a broken chunked body under `Connection: close` counts as complete (verified notes §e).
 *
 * A client's headers are read in one pass over the raw list, because an object keyed by names made at run time costs a
 * string-table look-up per header, twice. Towards a node they are a flat list: name, value, name, value.
 */

const hopHeader = 'x-corral-hop'
const pastHopsHeader = 'x-corral-past-hops'

/** What the gateway itself reads; null where absent. A header that came several times is joined by commas. */
export class RequestHeaders {
  host: string | null = null
  /** How many Host headers there were. */
  hosts = 0
  origin: string | null = null
  connection: string | null = null
  contentLength: string | null = null
  transferEncoding: string | null = null
  contentEncoding: string | null = null
  contentType: string | null = null
  /** `Access-Control-Request-Method`. */
  requestMethod: string | null = null
  traceparent: string | null = null
  tracestate: string | null = null
  priority: string | null = null
  /** `X-Corral-Explain`: whether the client wants to know why. */
  explain: string | null = null
  /** Id of the Corral that sent this request. */
  hop: string | null = null
  /** Ids of the Corrals before it. */
  pastHops: string | null = null
  /** Headers that may reach a node, a flat list with lower-case names. */
  forwarded: string[] = ['accept-encoding', 'identity']

  /** Whether a body is announced. */
  get hasBody(): boolean {
    return this.transferEncoding !== null || (this.contentLength !== null && this.contentLength !== '0')
  }
}

type Field = Exclude<keyof RequestHeaders, 'hosts' | 'forwarded' | 'hasBody'>

interface Rule {
  readonly name: string
  /** Where the value is kept. */
  readonly field: Field | null
  readonly forward: boolean
}

const readFields: Readonly<Record<string, Field>> = {
  host: 'host',
  origin: 'origin',
  connection: 'connection',
  'content-length': 'contentLength',
  'transfer-encoding': 'transferEncoding',
  'content-encoding': 'contentEncoding',
  'content-type': 'contentType',
  'access-control-request-method': 'requestMethod',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  'x-corral-priority': 'priority',
  'x-corral-explain': 'explain',
  [hopHeader]: 'hop',
  [pastHopsHeader]: 'pastHops',
}

const droppedFromClient = new Set([
  'host',
  'origin',
  'referer',
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'cookie',
  'expect',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'content-length',
  'accept-encoding',
  'forwarded',
  'x-real-ip',
  'traceparent',
  'tracestate',
  'x-request-id',
  'x-corral-priority',
  'x-corral-explain',
  'x-corral-console',
  hopHeader,
  pastHopsHeader,
])

const droppedPrefixes = ['access-control-', 'x-forwarded-']

/** Rules by name as spelt by a client; clients spell few names, so the bound is for hostile ones. */
const rulesMax = 1_024
const rules = new Map<string, Rule>()

function ruleOf(spelling: string): Rule {
  const known = rules.get(spelling)
  if (known !== undefined) return known
  const name = spelling.toLowerCase()
  const forward = !droppedFromClient.has(name) && !droppedPrefixes.some((prefix) => name.startsWith(prefix))
  const rule = { name, field: Object.hasOwn(readFields, name) ? (readFields[name] ?? null) : null, forward }
  if (rules.size < rulesMax) rules.set(spelling, rule)
  return rule
}

/** Reads `rawHeaders` of a request. */
export function readRequestHeaders(raw: readonly string[]): RequestHeaders {
  const headers = new RequestHeaders()
  const { forwarded } = headers
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const value = raw[index + 1] ?? ''
    const { name, field, forward } = ruleOf(raw[index] ?? '')
    if (field !== null) keep(headers, field, value)
    if (forward) forwarded.push(name, value)
  }
  if (headers.connection !== null && !plainConnection.test(headers.connection))
    headers.forwarded = dropListed(forwarded, headers.connection)
  if (headers.hop !== null) {
    headers.forwarded.push(pastHopsHeader, headers.pastHops === null ? headers.hop : `${headers.pastHops}, ${headers.hop}`)
  }
  return headers
}

const joined = (before: string | null, value: string): string => (before === null ? value : `${before}, ${value}`)

/** By name and not by key: a keyed store into a class is a look-up in the string table. */
function keep(headers: RequestHeaders, field: Field, value: string): void {
  switch (field) {
    case 'host':
      headers.hosts += 1
      headers.host = joined(headers.host, value)
      return
    case 'origin':
      headers.origin = joined(headers.origin, value)
      return
    case 'connection':
      headers.connection = joined(headers.connection, value)
      return
    case 'contentType':
      headers.contentType = joined(headers.contentType, value)
      return
    case 'contentLength':
      headers.contentLength = joined(headers.contentLength, value)
      return
    case 'transferEncoding':
      headers.transferEncoding = joined(headers.transferEncoding, value)
      return
    case 'contentEncoding':
      headers.contentEncoding = joined(headers.contentEncoding, value)
      return
    case 'requestMethod':
      headers.requestMethod = joined(headers.requestMethod, value)
      return
    case 'traceparent':
      headers.traceparent = joined(headers.traceparent, value)
      return
    case 'tracestate':
      headers.tracestate = joined(headers.tracestate, value)
      return
    case 'priority':
      headers.priority = joined(headers.priority, value)
      return
    case 'explain':
      headers.explain = joined(headers.explain, value)
      return
    case 'hop':
      headers.hop = joined(headers.hop, value)
      return
    case 'pastHops':
      headers.pastHops = joined(headers.pastHops, value)
  }
}

const plainConnection = /^(keep-alive|close)$/i

/** Without the headers that `Connection` names. */
function dropListed(flat: readonly string[], connection: string): string[] {
  const listed = new Set(
    connection
      .toLowerCase()
      .split(',')
      .map((token) => token.trim()),
  )
  return flat.filter((_, index) => !listed.has(flat[index - (index % 2)] ?? ''))
}

/** The flat list without `name`. */
export function withoutHeader(flat: readonly string[], name: string): string[] {
  return flat.filter((_, index) => flat[index - (index % 2)] !== name)
}

/** The value of `name` in a flat list; null when it is not there. */
export function headerIn(flat: readonly string[], name: string): string | null {
  for (let index = 0; index < flat.length; index += 2) if (flat[index] === name) return flat[index + 1] ?? null
  return null
}

/** The header by which a Corral knows its own requests. */
export function hopHeaders(hopId: string): Readonly<Record<string, string>> {
  return { [hopHeader]: hopId }
}

const droppedFromNode = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'trailer',
  'upgrade',
  'date',
  'server',
  'vary',
  'x-accel-buffering',
  'x-request-id',
  'x-corral-node',
  'x-corral-route',
  'x-corral-trace-id',
])

/** Node headers that may reach a client, lower case. CORS is the gateway's own, and so is what it says of the request. */
export function responseHeaders(raw: Readonly<Record<string, string | string[] | undefined>>): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const name in raw) {
    const value = raw[name]
    if (value === undefined || droppedFromNode.has(name) || name.startsWith('access-control-')) continue
    headers[name] = value
  }
  return headers
}
