/**
 * Plays recorded exchanges twice, against a simulated node and against a gateway whose only node is its twin, and compares
 * the two answers: status, headers and body. What the gateway answers otherwise on purpose is listed by exchange.
 */
import { createApp } from '../../../src/app.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { configSchema } from '../../../src/config/schema.ts'
import type { SimNode } from '../../../src/sim/node.ts'
import { until } from '../../support/gateway.ts'
import { blankedFrame } from './compare.ts'
import { blankedErrors, gatewayDifferences, headerDifferences } from './gateway-differences.ts'
import { nodeKey, play, prepare, runs } from './play.ts'
import { startStage } from './stage.ts'
import type { Transcript } from './transcript.ts'
import { type Exchange, WireClient } from './wire-client.ts'

const [run] = runs

interface Front {
  readonly port: number
  /** Resolves when the gateway knows what its node is and has. */
  settled(): Promise<void>
  close(): Promise<void>
}

async function startFront(url: string, variant: string): Promise<Front> {
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0, ...(variant === 'no-models' ? { origins: ['*'] } : {}) },
    fleet: { nodes: [{ url, name: 'only' }], cloudModels: true, probe: { intervalMs: 50, modelsIntervalMs: 50 } },
    observe: { log: { level: 'silent', access: false } },
    cache: { enabled: false },
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test' })
  const { port } = await app.listen()
  await until(() => app.fleet.nodes.every(({ modelsKnown }) => modelsKnown), 'the node was probed')
  const [node] = app.fleet.nodes
  return {
    port,
    async settled() {
      await until(() => node?.up === true, 'the node is up')
      await app.fleet.prober.refreshModels()
      app.fleet.setDraining('only', false)
    },
    close: () => app.close(0),
  }
}

/** In one piece: frames of a node may travel together. */
function bodyOf({ frames }: Exchange): string {
  return frames.join('')
}

function typeOf({ headers }: Exchange): string {
  return headers.find(([name]) => name === 'content-type')?.[1] ?? 'none'
}

function comparedHeaders({ headers }: Exchange, lost: readonly string[]): string[] {
  return headers
    .filter(([name]) => !lost.includes(name) && !Object.hasOwn(headerDifferences, name))
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted()
}

/** Why `relayed` is not the answer that the node gives, nor what is listed for it; null when it is. */
function differenceOf(number: number, direct: Exchange, relayed: Exchange): string | null {
  const other = gatewayDifferences.get(number)
  const body = bodyOf(relayed)
  const status = other?.status ?? direct.status
  if (relayed.status !== status) return `status: wanted ${status}, got ${relayed.status} ${body.slice(0, 300)}`
  const type = other?.type ?? typeOf(direct)
  if (typeOf(relayed) !== type) return `content-type: wanted ${type}, got ${typeOf(relayed)}`
  if (other?.body !== undefined) return other.body.test(body) ? null : `body: wanted ${other.body}, got ${body.slice(-600)}`
  const [sent, received] = [direct, relayed].map((exchange) => comparedHeaders(exchange, other?.lost ?? []).join('; '))
  if (sent !== received) return `headers: wanted ${sent}, got ${received}`
  const [wanted, got] = [direct, relayed].map((exchange) => blankedFrame(blankedErrors(bodyOf(exchange))))
  return wanted === got ? null : `body:\n  direct  ${wanted?.slice(0, 600)}\n  relayed ${got?.slice(0, 600)}`
}

/** The answer that is had on `port`, when `ready`, with what happened to `node` around it. */
async function answered(
  node: SimNode,
  transcript: Transcript,
  port: number,
  ready = (): Promise<void> => Promise.resolve(),
): Promise<Exchange> {
  await prepare(node, transcript, run)
  await ready()
  const client = new WireClient(port)
  const { got } = await play(node, transcript, run, client)
  client.close()
  return got
}

/** Plays a group after the exchanges of `prelude`; returns what differed. */
export async function playThroughGateway(group: readonly Transcript[], prelude: readonly Transcript[]): Promise<string[]> {
  const [first] = group
  if (first === undefined) return []
  const [direct, twin] = await Promise.all([startStage(nodeKey(first), run.rename), startStage(nodeKey(first), run.rename)])
  const front = await startFront(twin.url, nodeKey(first))
  const problems: string[] = []
  for (const transcript of [...prelude, ...group]) {
    const wanted = await answered(direct, transcript, direct.port)
    const got = await answered(twin, transcript, front.port, () => front.settled())
    const difference = differenceOf(transcript.number, wanted, got)
    if (difference !== null) problems.push(`${transcript.name}: ${difference}`)
  }
  await front.close()
  await Promise.all([direct.close(), twin.close()])
  return problems
}
