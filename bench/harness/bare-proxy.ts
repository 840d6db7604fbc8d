/**
 * The yardstick: the least a Node proxy can do. `node bare-proxy.ts PORT...` forwards every request to the node
 * with the fewest requests in flight, by undici's pool, streaming both ways. No health, no retry, no limits: what
 * the gateway costs more than this is the price of being a gateway. Control call: `port`.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Pool } from 'undici'

import { serveControl } from './control.ts'
import { portOf } from './port-of.ts'

const upstreams = process.argv.slice(2).map((port) => ({ pool: new Pool(`http://127.0.0.1:${port}`), inFlight: 0 }))
const hopByHop: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding', 'host', 'expect'])

function leastBusy(): (typeof upstreams)[number] {
  return upstreams.reduce((best, upstream) => (upstream.inFlight < best.inFlight ? upstream : best))
}

function endToEnd(rawHeaders: readonly string[]): string[] {
  const kept: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ''
    if (!hopByHop.has(name.toLowerCase())) kept.push(name, rawHeaders[at + 1] ?? '')
  }
  return kept
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse, body: Buffer): void {
  const upstream = leastBusy()
  upstream.inFlight += 1
  upstream.pool.dispatch(
    { method: 'POST', path: incoming.url ?? '/', headers: endToEnd(incoming.rawHeaders), body },
    {
      onRequestStart: (controller) => outgoing.on('close', () => outgoing.writableFinished || controller.abort(new Error('client left'))),
      onResponseStart: (_, status, headers) => {
        delete headers['transfer-encoding']
        delete headers['connection']
        outgoing.writeHead(status, headers)
      },
      onResponseData: (_, bytes) => outgoing.write(bytes),
      onResponseEnd: () => {
        upstream.inFlight -= 1
        outgoing.end()
      },
      onResponseError: () => {
        upstream.inFlight -= 1
        if (outgoing.headersSent) outgoing.destroy()
        else outgoing.writeHead(502).end('{"error":"upstream failed"}')
      },
    },
  )
}

const server = createServer({ keepAliveTimeout: 75_000, noDelay: true }, (incoming, outgoing) => {
  if (incoming.method !== 'POST') {
    outgoing.end('bare')
    return
  }
  const parts: Buffer[] = []
  incoming.on('data', (part: Buffer) => parts.push(part))
  incoming.on('end', () => forward(incoming, outgoing, Buffer.concat(parts)))
})
await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve))
serveControl({ port: () => portOf(server) })
