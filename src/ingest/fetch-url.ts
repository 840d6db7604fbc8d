/**
 * Gets a document from a URL that somebody else chose, without becoming their way into this network: only http and https, only public addresses,
 * every address of a name checked, the connection pinned to what was checked, every redirect judged like the first URL, no cookies, no
 * credentials, no proxy, and caps on time, bytes and what bytes unpack to.
 */
import type { Socket } from 'node:net'
import { Agent, buildConnector, request, type Dispatcher } from 'undici'

import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { isPublicAddress, type ResolveHost } from './fetch-url-address.ts'
import { readBody } from './fetch-url-body.ts'

export interface FetchUrlOptions {
  readonly ports: readonly number[]
  /** Of the decoded body. */
  readonly bytes: number
  /** Decoded to sent, above 1 MB. */
  readonly ratio: number
  /** From the first lookup to the last byte, all redirects together. */
  readonly totalMs: number
  readonly redirects: number
  readonly userAgent: string
}

export interface FetchUrlDeps {
  readonly clock: Clock
  readonly resolve: ResolveHost
  readonly options?: Partial<FetchUrlOptions>
  readonly signal?: AbortSignal | null
  /** Which addresses may be connected to; left out: public ones only. Tests let the loopback in. */
  readonly isAllowedAddress?: (address: string) => boolean
}

export interface FetchedDocument {
  readonly bytes: Uint8Array
  readonly name: string
  readonly declaredType: string | null
  /** After redirects. */
  readonly url: string
}

export const defaultFetchUrlOptions: FetchUrlOptions = {
  ports: [80, 443],
  bytes: 20_000_000,
  ratio: 100,
  totalMs: 15_000,
  redirects: 3,
  userAgent: 'Corral (document ingest)',
}

const urlCharsMax = 2_048
const addressesMax = 50
const retryAfterMaxMs = 3_600_000
/** Names that mean this machine or this network whatever they resolve to. */
const innerNames = /(?:^|\.)(?:localhost|local|internal|intranet|home\.arpa|lan|corp|home)$/i
const readableType =
  /^(?:text\/[\w.+-]+|application\/(?:[\w.-]+\+(?:json|xml)|json|xml|pdf|x-pdf|x-ndjson|ndjson|jsonl|yaml|x-yaml|toml|javascript|csv|octet-stream|vnd\.openxmlformats-officedocument\.[\w.-]+)|message\/rfc822|binary\/octet-stream|image\/svg\+xml)$/i

interface Hop {
  readonly url: URL
  readonly addresses: readonly string[]
}

interface Context {
  readonly options: FetchUrlOptions
  readonly resolve: ResolveHost
  readonly isAllowedAddress: (address: string) => boolean
  readonly signal: AbortSignal
}

/**
 * The document behind `url`. Throws `url_not_allowed` before a packet is sent, `url_refused` for answers that stay, `url_failed` for those that
 * may change, `document_too_large`, `document_bomb`, `document_unsupported`; or the signal's reason.
 */
export async function fetchUrl(url: string, deps: FetchUrlDeps): Promise<FetchedDocument> {
  const options = { ...defaultFetchUrlOptions, ...deps.options }
  const deadline = new AbortController()
  const late = new CorralError('url_failed', `the document did not arrive within ${options.totalMs} ms`)
  const timer = deps.clock.after(options.totalMs, () => deadline.abort(late))
  const signals = deps.signal === undefined || deps.signal === null ? [deadline.signal] : [deadline.signal, deps.signal]
  const { resolve, isAllowedAddress = isPublicAddress } = deps
  const context: Context = { options, resolve, isAllowedAddress, signal: AbortSignal.any(signals) }
  try {
    return await follow(url, context)
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason
    throw error instanceof CorralError
      ? error
      : new CorralError('url_failed', `the server cannot be reached (${reasonOf(error)})`, { cause: error })
  } finally {
    timer.cancel()
  }
}

async function follow(url: string, context: Context): Promise<FetchedDocument> {
  let target = parseTarget(url, context.options)
  for (let hops = 0; ; hops += 1) {
    const answer = await ask({ url: target, addresses: await addressesOf(target, context) }, context)
    if (!('location' in answer)) return answer
    if (hops >= context.options.redirects)
      throw new CorralError('url_not_allowed', `the URL redirects more than ${context.options.redirects} times`)
    const next = URL.parse(answer.location, target)
    if (next === null) throw new CorralError('url_refused', 'the server redirects to something that is no URL')
    if (target.protocol === 'https:' && next.protocol === 'http:')
      throw new CorralError('url_not_allowed', 'the server redirects from https to http')
    target = parseTarget(next.href, context.options)
  }
}

/** Throws `url_not_allowed` for what can be told from the URL alone. */
export function assertFetchable(url: string): void {
  parseTarget(url, defaultFetchUrlOptions)
}

/** Judges a URL by its own words, after the parser has brought every spelling of a host into one form. */
function parseTarget(text: string, { ports }: FetchUrlOptions): URL {
  if (text.length > urlCharsMax) throw new CorralError('url_not_allowed', `the URL is longer than ${urlCharsMax} characters`)
  const url = URL.parse(text)
  if (url === null) throw new CorralError('url_not_allowed', 'it is no URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new CorralError('url_not_allowed', `only http and https are fetched, not ${url.protocol.slice(0, 20)}`)
  if (url.username !== '' || url.password !== '') throw new CorralError('url_not_allowed', 'the URL holds credentials')
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  if (!ports.includes(port)) throw new CorralError('url_not_allowed', `port ${port} is not allowed`)
  if (url.hostname === '') throw new CorralError('url_not_allowed', 'the URL has no host')
  url.hash = ''
  return url
}

/** Every address of the host; one that is not allowed refuses them all, because the next lookup might give that one alone. */
async function addressesOf(url: URL, { resolve, isAllowedAddress, signal }: Context): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  const isLiteral = url.hostname.startsWith('[') || /^\d+\.\d+\.\d+\.\d+$/.test(host)
  if (!isLiteral && (innerNames.test(host) || !host.includes('.')))
    throw new CorralError('url_not_allowed', `${host} is a name of this network`)
  const addresses = isLiteral ? [host] : await abortable(resolve(host), signal)
  if (addresses.length === 0) throw new CorralError('url_failed', `${host} has no address`)
  if (addresses.length > addressesMax || !addresses.every(isAllowedAddress))
    throw new CorralError('url_not_allowed', `${host} has an address that is not on the public internet`)
  return addresses
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** One request. A redirect is given back as its location. */
async function ask({ url, addresses }: Hop, context: Context): Promise<FetchedDocument | { readonly location: string }> {
  const { options, signal } = context
  const dispatcher = pinnedAgent(addresses, context)
  try {
    const answer = await request(url, {
      dispatcher,
      method: 'GET',
      headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': options.userAgent },
      headersTimeout: options.totalMs,
      bodyTimeout: options.totalMs,
      signal,
    })
    return await readAnswer(answer, url, options)
  } finally {
    // Not `close`: it would wait for a body that nobody reads.
    await dispatcher.destroy()
  }
}

async function readAnswer(
  answer: Dispatcher.ResponseData,
  url: URL,
  options: FetchUrlOptions,
): Promise<FetchedDocument | { location: string }> {
  const { statusCode, headers, body } = answer
  body.on('error', () => {})
  const location = one(headers.location)
  if ([301, 302, 303, 307, 308].includes(statusCode) && location !== null) return { location }
  if (statusCode < 200 || statusCode > 299) throw statusError(statusCode, one(headers['retry-after']))
  const declaredType = one(headers['content-type'])
  const type = declaredType?.split(';')[0]?.trim() ?? ''
  if (type !== '' && !readableType.test(type))
    throw new CorralError('document_unsupported', `the server says it is ${type.slice(0, 100)}, which cannot be read`)
  if (Number(one(headers['content-length']) ?? 0) > options.bytes)
    throw new CorralError('document_too_large', `the document is larger than ${options.bytes} bytes`)
  const bytes = await readBody(body, one(headers['content-encoding']) ?? '', options)
  return { bytes, name: nameOf(url), declaredType, url: url.href }
}

function statusError(status: number, retryAfter: string | null): CorralError {
  const message = `the server answered ${status}`
  if (status < 500 && ![408, 425, 429].includes(status)) return new CorralError('url_refused', message)
  const seconds = Number(retryAfter ?? '')
  if (!(seconds > 0)) return new CorralError('url_failed', message)
  return new CorralError('url_failed', message, { retryAfterMs: Math.min(retryAfterMaxMs, seconds * 1_000) })
}

/** Connects only to what was checked, and looks again at where the connection really went. */
function pinnedAgent(addresses: readonly string[], { options, isAllowedAddress }: Context): Agent {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  const connect = buildConnector({
    timeout: options.totalMs,
    autoSelectFamily: found.length > 1,
    lookup: (_host, lookup, answer) => {
      const [first] = found
      if (lookup.all === true) answer(null, found)
      else if (first === undefined) answer(new Error('no address'), '', 0)
      else answer(null, first.address, first.family)
    },
  })
  return new Agent({
    connections: 1,
    pipelining: 0,
    allowH2: false,
    maxHeaderSize: 32_768,
    connect: (target, done) => {
      connect(target, (error, socket) => {
        if (error !== null) done(error, null)
        else if (isWhereItShouldBe(socket, isAllowedAddress)) done(null, socket)
        else {
          socket.destroy()
          done(new CorralError('url_not_allowed', 'the connection went to an address that is not allowed'), null)
        }
      })
    },
  })
}

function isWhereItShouldBe({ remoteAddress }: Socket, isAllowedAddress: (address: string) => boolean): boolean {
  return remoteAddress !== undefined && isAllowedAddress(remoteAddress)
}

function one(value: string | readonly string[] | undefined): string | null {
  return (typeof value === 'string' ? value : value?.[0]) ?? null
}

function nameOf(url: URL): string {
  const last = url.pathname.split('/').findLast((part) => part !== '')
  if (last === undefined) return url.hostname
  try {
    return decodeURIComponent(last)
  } catch {
    // A percent sign that escapes nothing: the name as it stands.
    return last
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed'
  return code.slice(0, 60)
}
