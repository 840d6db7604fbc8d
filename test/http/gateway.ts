/** The gateway in this process, before scripted nodes, with what every test of a bad input asserts at its end. */
import { createApp, type App } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { snapshotFleet } from '../../src/fleet/snapshot.ts'
import { type FakeNode, startFakeNode } from './fake-node.ts'
import { exchange, type RawAnswer } from './raw-client.ts'

export interface Gateway {
  readonly app: App
  readonly port: number
  readonly node: FakeNode
  /** A request with `Host`, and with `Content-Length` when there is a body. Header lines without line ends. */
  ask(method: string, target: string, options?: AskOptions): Promise<RawAnswer>
  /** Throws unless a good request works and no slot is taken. */
  assertHealthy(): Promise<void>
  close(): Promise<void>
}

export interface AskOptions {
  readonly headers?: readonly string[]
  readonly body?: string | Buffer
  readonly host?: string
}

export interface GatewayOptions {
  readonly http?: Record<string, unknown>
  readonly fleet?: Record<string, unknown>
  readonly features?: Record<string, unknown>
  readonly random?: () => number
}

export const goodChat = '{"model":"small","messages":[{"role":"user","content":"hi"}]}'

/** The bytes of a request. */
export function requestBytes(method: string, target: string, { headers = [], body, host = 'localhost' }: AskOptions = {}): Buffer {
  const payload = body === undefined ? null : Buffer.from(body)
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...headers]
  if (payload !== null) lines.push(`Content-Length: ${payload.length}`)
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), payload ?? Buffer.alloc(0)])
}

export async function startGateway({ http = {}, fleet = {}, features = {}, random }: GatewayOptions = {}): Promise<Gateway> {
  const node = await startFakeNode()
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0, ...http },
    fleet: { nodes: [{ url: node.url, name: 'n1' }], ...fleet },
    observe: { log: { level: 'silent', access: false } },
    features,
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test', ...(random === undefined ? {} : { random }) })
  const { port } = await app.listen()
  const ask: Gateway['ask'] = (method, target, options) =>
    exchange(port, requestBytes(method, target, options), { head: method === 'HEAD' })
  await untilKnown(app)
  return {
    app,
    port,
    node,
    ask,
    assertHealthy: () => assertHealthy(app, ask),
    async close() {
      await app.close(0)
      await node.close()
    },
  }
}

async function untilKnown(app: App): Promise<void> {
  const deadlineMs = performance.now() + 5_000
  while (app.fleet.knownModel('small') === null) {
    if (performance.now() > deadlineMs) throw new Error('the node was never probed')
    await systemClock.sleep(5)
  }
}

async function assertHealthy(app: App, ask: Gateway['ask']): Promise<void> {
  const { status, body } = await ask('POST', '/api/chat', { body: goodChat })
  if (status !== 200 || !body.includes('"done":true')) throw new Error(`a good request got ${status}: ${body}`)
  const deadlineMs = performance.now() + 1_000
  for (;;) {
    const taken = takenSlots(app)
    if (taken === '') return
    if (performance.now() > deadlineMs) throw new Error(`slots leaked: ${taken}`)
    await systemClock.sleep(5)
  }
}

function takenSlots(app: App): string {
  const snapshot = snapshotFleet(app.fleet, systemClock.nowMs())
  const runners = snapshot.nodes.flatMap((node) =>
    node.runners.filter(({ inFlight }) => inFlight > 0).map(({ model }) => `${node.name}/${model}`),
  )
  const down = snapshot.nodes.filter(({ breaker }) => breaker !== 'closed').map(({ name }) => `breaker of ${name}`)
  const calls = app.calls.size > 0 ? [`${app.calls.size} calls`] : []
  const attempts = app.fleet.activeAttempts > 0 ? [`${app.fleet.activeAttempts} attempts`] : []
  return [...runners, ...down, ...calls, ...attempts].join(', ')
}
