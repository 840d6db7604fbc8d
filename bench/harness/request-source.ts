/**
 * What a load driver sends: the request of its spec, made once, or the next one of a workload. A connection that was
 * given a credential sends it with each of its requests.
 */
import type { LoadSpec } from './load-spec.ts'
import { workloadRequests } from './workload.ts'

/** A place in the request that each one fills with its own number: no two prompts are alike, as in life. */
export const numberPlace = '########'

/** Makes request `number` (from 1) for the connection with `index`. */
export type RequestSource = (number: number, index: number) => string

/** The request as it goes over the wire. */
export function requestText(spec: Pick<LoadSpec, 'port' | 'path' | 'body' | 'headers'>): string {
  const extra = Object.entries(spec.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const method = spec.body === '' ? 'GET' : 'POST'
  const length = spec.body === '' ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(spec.body)}\r\n`
  return `${method} ${spec.path} HTTP/1.1\r\nhost: 127.0.0.1:${spec.port}\r\n${length}${extra.join('')}\r\n${spec.body}`
}

export function requestSource(spec: LoadSpec): RequestSource {
  const { credentials, headers, workload } = spec
  const headersOf = (index: number): Record<string, string> =>
    credentials.length === 0 ? headers : { ...headers, authorization: credentials[index % credentials.length] ?? '' }
  if (workload === undefined) {
    const texts = Array.from({ length: Math.max(1, credentials.length) }, (_, index) =>
      requestText({ ...spec, headers: headersOf(index) }).split(numberPlace),
    )
    return (number, index) => (texts[index % texts.length] ?? []).join(String(number).padStart(numberPlace.length, '0'))
  }
  const requests = workloadRequests(workload)
  return (_, index) => {
    const { done, value } = requests.next()
    if (done === true) throw new Error('the workload has fewer requests than requestsMax says')
    return requestText({ ...spec, body: value.body, headers: headersOf(index) })
  }
}
