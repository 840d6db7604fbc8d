/**
 * The least a Node server can do for a known answer: reads the request, writes the same bytes. What a memory hit costs is held
 * against it. Control calls: `set` (headers and body of the answer), `port`.
 */
import { createServer } from 'node:http'
import { z } from 'zod'

import { serveControl } from './control.ts'
import { portOf } from './port-of.ts'

const answer = z.strictObject({ headers: z.record(z.string(), z.string()), body: z.string() })

let headers: Record<string, string> = {}
let body = Buffer.alloc(0)

const server = createServer({ keepAliveTimeout: 75_000, noDelay: true }, (incoming, outgoing) => {
  const parts: Buffer[] = []
  incoming.on('data', (part: Buffer) => parts.push(part))
  incoming.on('end', () => {
    Buffer.concat(parts)
    outgoing.writeHead(200, headers)
    outgoing.end(body)
  })
})
await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve))
serveControl({
  set: (argument) => {
    const given = answer.parse(argument)
    headers = given.headers
    body = Buffer.from(given.body)
  },
  port: () => portOf(server),
})
