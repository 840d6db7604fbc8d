/**
 * The control port of a node: `POST /faults` with `{"kind":…, …options}`, `DELETE /faults[?kind=…]`, `GET /stats`. For
 * demonstrations and for nodes that run in a process of their own.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { SimControl } from './control.ts'
import { isFaultKind, type FaultOptions } from './faults.ts'
import { isObject, type JsonObject, type JsonValue } from './json-value.ts'

export interface ControlServer {
  readonly url: string
  close(): Promise<void>
}

interface Where {
  readonly port: number
  readonly host: string
  stats(): object
}

function faultOptions(body: JsonObject): FaultOptions {
  const numbers = Object.fromEntries(
    ['count', 'forMs', 'atFrame', 'delayMs'].flatMap((key) => (typeof body[key] === 'number' ? [[key, body[key]]] : [])),
  )
  const texts = Object.fromEntries(['path', 'model'].flatMap((key) => (typeof body[key] === 'string' ? [[key, body[key]]] : [])))
  return { ...numbers, ...texts }
}

async function readJson(request: IncomingMessage): Promise<JsonValue> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  const parsed: JsonValue = JSON.parse(text)
  return parsed
}

async function setFault(control: SimControl, request: IncomingMessage): Promise<[number, object]> {
  const body = await readJson(request)
  const kind = isObject(body) ? body['kind'] : undefined
  if (!isObject(body) || typeof kind !== 'string' || !isFaultKind(kind)) return [400, { error: 'unknown kind of fault' }]
  control.set(kind, faultOptions(body))
  return [200, { set: kind }]
}

async function answer(control: SimControl, where: Where, request: IncomingMessage): Promise<[number, object]> {
  const url = new URL(request.url ?? '/', 'http://control')
  if (request.method === 'GET' && url.pathname === '/stats') return [200, where.stats()]
  if (request.method === 'POST' && url.pathname === '/faults') return setFault(control, request)
  if (request.method === 'DELETE' && url.pathname === '/faults') {
    const kind = url.searchParams.get('kind')
    if (kind !== null && isFaultKind(kind)) control.clear(kind)
    else control.clear()
    return [200, { cleared: kind ?? 'all' }]
  }
  return [404, { error: 'not found' }]
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Starts the control port. */
export async function startControlServer(control: SimControl, where: Where): Promise<ControlServer> {
  const server = createServer((request, response) => {
    answer(control, where, request).then(
      ([status, body]) => send(response, status, body),
      (error: unknown) => send(response, 400, { error: String(error) }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(where.port, where.host, resolve)
  })
  const address = server.address()
  const port = address !== null && typeof address !== 'string' ? address.port : where.port
  return {
    url: `http://${where.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
