/** The fleet's gateway before simulated nodes: fast probes, warm models, and what must be zero when all is over. */
import { expect } from 'vitest'

import { type Gateway, type GatewayOptions, startGateway, until } from '../support/gateway.ts'
import { systemClock } from '../../src/base/clock.ts'
import { ask, chatBody, isComplete } from './ask.ts'

export { until, type Gateway }

type FleetSection = Readonly<Record<string, unknown>>

interface Options extends Omit<GatewayOptions, 'config'> {
  readonly fleet?: FleetSection
  readonly http?: FleetSection
  readonly features?: FleetSection
  /** Default: off, so that every answer is a node's own. */
  readonly cache?: FleetSection
  /** Load the chat model on every node first; default true. */
  readonly warm?: boolean
}

/** A gateway whose nodes have the chat model in memory and known to be there. */
export async function openGateway({
  fleet,
  http,
  features,
  cache = { enabled: false },
  warm = true,
  ...rest
}: Options = {}): Promise<Gateway> {
  const sections = {
    ...(fleet === undefined ? {} : { fleet }),
    ...(http === undefined ? {} : { http }),
    ...(features === undefined ? {} : { features }),
  }
  const gateway = await startGateway({ ...rest, config: { ...sections, cache } })
  if (!warm) return gateway
  await warmUp(gateway)
  return gateway
}

/** Loads `model` on every node, beside the gateway, and waits until the gateway knows. */
export async function warmUp({ sims, app }: Gateway, model = 'llama3.2:3b'): Promise<void> {
  await Promise.all(sims.map((sim) => ask(`${sim.url}/api/generate`, { model, stream: false, keep_alive: -1 })))
  await Promise.all(app.fleet.nodes.map((node) => app.fleet.prober.refreshLoaded(node)))
  expect(app.fleet.nodes.every((node) => node.loaded.has(model))).toBe(true)
}

/** Requests per path that a node got. */
export function asked(gateway: Gateway, node: string, path: string): number {
  return gateway.sim(node).stats().byPath[path] ?? 0
}

/** Everything that a request takes is given back. */
export async function expectIdle({ app }: Pick<Gateway, 'app'>): Promise<void> {
  const taken = (): string => {
    const uses = app.fleet.nodes.map((node) => ({ node, use: app.fleet.pools.use(node) }))
    const runners = uses.flatMap(({ node, use }) =>
      [...use.runners.values()]
        .filter(({ inFlight, streaming, load }) => inFlight !== 0 || streaming !== 0 || load !== null)
        .map(
          ({ model, inFlight, streaming, load }) =>
            `${node.name}/${model}: ${inFlight} in flight, ${streaming} streaming, load ${load !== null}`,
        ),
    )
    const nodes = uses.filter(({ use }) => use.inFlight !== 0).map(({ node, use }) => `${node.name}: ${use.inFlight}`)
    const queued = [...app.fleet.pools.all()]
      .filter(({ queue }) => queue.size > 0)
      .map(({ model, queue }) => `${queue.size} wait for ${model}`)
    const { active, taken: retries } = app.fleet.budget
    const rest = { attempts: app.fleet.activeAttempts, active, retries, calls: app.calls.size }
    const left = Object.entries(rest).filter(([, count]) => count !== 0)
    return [...runners, ...nodes, ...queued, ...left.map(([what, count]) => `${what}: ${count}`)].join('; ')
  }
  const endMs = systemClock.nowMs() + 5_000
  while (taken() !== '') {
    if (systemClock.nowMs() > endMs) throw new Error(`not given back: ${taken()}`)
    await systemClock.sleep(2)
  }
}

/** Sends `count` chats one after the other; all must be complete. */
export async function chatInTurn({ url }: Gateway, count: number): Promise<void> {
  for (let time = 0; time < count; time += 1) expect(isComplete(await ask(`${url}/api/chat`, chatBody()))).toBe(true)
}
