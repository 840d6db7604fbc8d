/**
 * What may differ between a node's answer and the same answer through a gateway, each for one reason; everything else must be
 * equal. First what may differ in any error, then single exchanges, by number.
 */
import { scrubMessage } from '../../../src/wire/blame.ts'

/** In a text of the node's or of the gateway's. */
const inErrors: readonly (readonly [why: string, RegExp, string])[] = [
  ['an error names its node', /"only: /g, '"'],
  ['an error of the gateway has a code', /"code":"node_failed"/g, '"code":null'],
  ['an id of the gateway leads to its log', /"request_id":"[\w-]+(?:<id>)?"/g, '"request_id":"<id>"'],
]

/** A body with everything blanked in which its errors may differ; folders and ports of a node's stay behind the gateway. */
export function blankedErrors(body: string): string {
  return body
    .split('\n')
    .map((line) => (line.includes('"error"') ? blankedError(line) : line))
    .join('\n')
}

function blankedError(line: string): string {
  const scrubbed = scrubMessage(line.replaceAll(String.raw`\u003e`, '>'))
  return inErrors.reduce((text, [, pattern, by]) => text.replace(pattern, by), scrubbed)
}

/** Headers that are not compared, and why. */
export const headerDifferences: Readonly<Record<string, string>> = {
  date: 'the time of the answer',
  'content-length': 'errors differ in length, and a body that is there whole has one where a node sends chunks',
  'transfer-encoding': 'the same',
  connection: 'of this connection, not of that to the node',
  'keep-alive': 'the same',
  'x-request-id': 'the gateway’s own',
  'x-corral-node': 'the gateway’s own',
  'x-corral-route': 'the gateway’s own',
  'x-accel-buffering': 'keeps a proxy in front from holding a stream back',
  'retry-after': 'a 503 says when to come again',
  'access-control-expose-headers': 'scripts may read the gateway’s own headers',
  'access-control-allow-headers': 'more are allowed: those of the Anthropic SDK and of the gateway',
}

/** What stands in place of the node's own status, content type or body. */
export interface Difference {
  readonly why: string
  readonly status?: number
  readonly type?: string
  /** Of the gateway's body; headers are then not compared. */
  readonly body?: RegExp
  /** Headers of the node that the gateway does not send. */
  readonly lost?: readonly string[]
}

const duplicate: Difference = {
  why: 'two readers could take the body for different things',
  status: 400,
  body: /"model\\" appears more than once/,
}
const parser: Difference = { why: "Node's own parser answers, before there is a route", type: 'none', body: /^$/ }
const ndjsonError = /\n\{"error":"[^\n]+"\}\n$/
const brokenLines: Difference = { why: 'a stream that breaks off ends in an error', body: ndjsonError }
const brokenOpenAi: Difference = { why: 'a stream that breaks off ends in an error', body: /\n\ndata: \{"error":\{[^\n]+\}\}\n\n$/ }
const brokenEvents = (name: string): Difference => ({
  why: 'a stream that breaks off ends in an error',
  body: new RegExp(`\\n\\nevent: ${name}\\ndata: [^\\n]*"error"[^\\n]*\\n\\n$`),
})
const preflight: Difference = { why: 'a preflight is answered before the route is known', lost: ['allow'] }
const ownError: Difference = { why: 'an error that the gateway writes is never a stream', lost: ['cache-control'] }
const lost: Difference = {
  why: 'a connection that breaks before the head is a 502',
  status: 502,
  type: 'application/json; charset=utf-8',
  body: /^\{"error":/,
}

export const gatewayDifferences: ReadonlyMap<number, Difference> = new Map<number, Difference>([
  [10, { why: 'the metrics are the gateway’s', status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: /^# HELP corral_/ }],
  [26, { why: 'a prefix that a client claims is not believed', body: /^<a href="\/api\/tags">/ }],
  [
    29,
    { why: 'an escaped word could pass a rule on paths', status: 404, type: 'application/json; charset=utf-8', body: /percent-encoding/ },
  ],
  [32, parser],
  [36, parser],
  [83, { why: 'a stream that ends without its last line is never silent', body: ndjsonError }],
  [123, duplicate],
  [124, duplicate],
  [134, duplicate],
  [163, ownError],
  [327, preflight],
  [328, preflight],
  [330, preflight],
  [339, preflight],
  [401, brokenLines],
  [402, brokenLines],
  [403, brokenOpenAi],
  [404, brokenOpenAi],
  [405, brokenOpenAi],
  [406, brokenEvents('response.failed')],
  [407, brokenEvents('error')],
  [417, brokenLines],
  [418, brokenOpenAi],
  [419, brokenEvents('error')],
  [420, lost],
  [421, brokenLines],
  [422, brokenOpenAi],
  [423, lost],
  [439, ownError],
  [440, ownError],
  [442, { why: 'a load that fails is tried again', status: 200, type: 'application/x-ndjson', body: /"done":true/ }],
  [445, { why: 'a client that left is sent nothing more', body: /"done":false\}\n$/ }],
])
