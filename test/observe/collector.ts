// A collector of spans on loopback: it decodes what is posted to /v1/traces as OTLP says, and answers as it is told.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import type { AddressInfo } from 'node:net'

import { z } from 'zod'

const anyValue = z.union([
  z.strictObject({ stringValue: z.string() }).transform(({ stringValue }): unknown => stringValue),
  z.strictObject({ boolValue: z.boolean() }).transform(({ boolValue }): unknown => boolValue),
  z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }).transform(({ intValue }): unknown => Number(intValue)),
  z.strictObject({ doubleValue: z.number() }).transform(({ doubleValue }): unknown => doubleValue),
  z
    .strictObject({ arrayValue: z.strictObject({ values: z.array(z.strictObject({ stringValue: z.string() })) }) })
    .transform(({ arrayValue }): unknown => arrayValue.values.map(({ stringValue }) => stringValue)),
])
const attributes = z
  .array(z.strictObject({ key: z.string(), value: anyValue }))
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, value])))
const nanos = z.string().regex(/^\d{19}$/)
const span = z.strictObject({
  traceId: z.string().regex(/^(?!0{32})[0-9a-f]{32}$/),
  spanId: z.string().regex(/^(?!0{16})[0-9a-f]{16}$/),
  parentSpanId: z
    .string()
    .regex(/^(?!0{16})[0-9a-f]{16}$/)
    .optional(),
  traceState: z.string().optional(),
  flags: z.int(),
  name: z.string(),
  kind: z.int().min(1).max(5),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes,
  events: z.array(z.strictObject({ name: z.string(), timeUnixNano: nanos })),
  status: z.strictObject({ code: z.int().optional(), message: z.string().optional() }),
})
const exported = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeSpans: z.array(z.strictObject({ scope: z.strictObject({ name: z.string(), version: z.string() }), spans: z.array(span) })),
    }),
  ),
})

export type ReceivedSpan = z.infer<typeof span>

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface Collector {
  readonly url: string
  /** Of deliveries that were answered with 200, in their order. */
  readonly spans: ReceivedSpan[]
  readonly resources: Readonly<Record<string, unknown>>[]
  readonly headers: IncomingMessage['headers'][]
  /** What it thought malformed. */
  readonly problems: string[]
  /** Deliveries, answered or not. */
  requests: number
  /** What the next deliveries are answered with; null: nothing at all. */
  reply: (request: number) => Reply | null
  close(): Promise<void>
}

/** `port`: where one listened before. */
export async function startCollector(port = 0): Promise<Collector> {
  const server = createServer((incoming, outgoing) => void take(collector, incoming, outgoing))
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    resources: [],
    headers: [],
    problems: [],
    requests: 0,
    reply: () => ({ status: 200, body: '{}' }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return collector
}

async function take(collector: Collector, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const body = await text(incoming)
  collector.requests += 1
  collector.headers.push(incoming.headers)
  if (incoming.url !== '/v1/traces' || incoming.method !== 'POST') collector.problems.push(`${incoming.method} ${incoming.url}`)
  const parsed = exported.safeParse(JSON.parse(body))
  if (!parsed.success) collector.problems.push(parsed.error.message)
  const reply = collector.reply(collector.requests)
  if (reply === null) return
  if (reply.status === 200 && parsed.success) {
    for (const { resource, scopeSpans } of parsed.data.resourceSpans) {
      collector.resources.push(resource.attributes)
      collector.spans.push(...scopeSpans.flatMap(({ spans }) => spans))
    }
  }
  outgoing.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
  outgoing.end(reply.body ?? '')
}
