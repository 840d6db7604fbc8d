/**
 * A whole gateway in the test's process, in front of simulated nodes on real sockets. Everything stops with the test. The
 * gateway listens on a free loopback port, writes no log, and knows the models of every node when `startGateway` returns.
 */
import { onTestFinished } from 'vitest'

import { createApp, type App, type AppStores } from '../../src/app.ts'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createHerd, type HerdOptions } from '../../src/sim/herd.ts'
import type { SimNode, SimNodeOptions } from '../../src/sim/node.ts'

export interface GatewayOptions extends Omit<HerdOptions, 'nodes'> {
  /** How many nodes, or what is particular to each; default 2. */
  readonly nodes?: number | readonly SimNodeOptions[]
  /** Sections of the configuration, as in the file; `fleet.nodes` comes from the herd. */
  readonly config?: ConfigSections
  /** The gateway's own, where a test moves its time; the nodes' is `clock`. */
  readonly gatewayClock?: Clock
  /** What it keeps things in; left out: nothing. Whoever made them closes the database. */
  readonly stores?: AppStores
  /** Whether the test itself calls `close`, e.g. because the gateway serves all tests of a file; default false. */
  readonly keepOpen?: boolean
}

export interface ConfigSections {
  readonly http?: Readonly<Record<string, unknown>>
  readonly fleet?: Readonly<Record<string, unknown>>
  readonly observe?: Readonly<Record<string, unknown>>
  readonly cache?: Readonly<Record<string, unknown>>
  readonly features?: Readonly<Record<string, unknown>>
}

export interface Gateway {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  readonly app: App
  readonly sims: readonly SimNode[]
  /** The simulated node that Corral calls `name` (as in `X-Corral-Node`). */
  sim(name: string | null): SimNode
  close(): Promise<void>
}

/** How much faster than a mid-size GPU the nodes are unless the test says otherwise. */
const defaultSpeed = 20

export async function startGateway({
  nodes = 2,
  config = {},
  gatewayClock = systemClock,
  stores,
  keepOpen = false,
  ...common
}: GatewayOptions = {}): Promise<Gateway> {
  const herd = await createHerd({ speed: defaultSpeed, nodes, ...common })
  const listed = herd.nodes.map(({ url, name }) => ({ url, name }))
  const { app, ...rest } = await listen(listed, config, { clock: gatewayClock, stores })
  const close = async (): Promise<void> => {
    await app.close(0)
    await herd.close()
  }
  if (!keepOpen) onTestFinished(close)
  await until(() => app.fleet.nodes.every((node) => node.modelsKnown), 'every node was probed')
  return { ...rest, app, sims: herd.nodes, sim: (name) => simNamed(herd.nodes, name), close }
}

/** An entry of `fleet.nodes`. */
export interface ListedNode {
  readonly url: string
  readonly name: string
  readonly headers?: Readonly<Record<string, string>>
  readonly caFile?: string
}

type Listening = Pick<Gateway, 'app' | 'url' | 'port'>

async function listen(
  nodes: readonly ListedNode[],
  config: ConfigSections,
  { clock = systemClock, stores }: { readonly clock?: Clock; readonly stores?: AppStores | undefined } = {},
): Promise<Listening> {
  const kept = stores === undefined ? {} : { stores }
  const app = await createApp({ config: configOf(config, nodes), clock, version: '0.0.0-test', ...kept })
  const { port } = await app.listen()
  if (stores !== undefined) await app.openStores()
  return { app, port, url: `http://127.0.0.1:${port}` }
}

/** A gateway before nodes of the test's own, which are not yet probed. It stops with the test. */
export async function startApp(nodes: readonly ListedNode[], config: ConfigSections = {}): Promise<Listening> {
  const listening = await listen(nodes, config)
  onTestFinished(() => listening.app.close(0))
  return listening
}

function configOf(
  { http, fleet, observe, cache, features }: ConfigSections,
  nodes: readonly ListedNode[],
): ReturnType<typeof configSchema.parse> {
  return configSchema.parse({
    http: { host: '127.0.0.1', port: 0, ...http },
    fleet: { ...fleet, nodes },
    observe: { log: { level: 'silent', access: false }, ...observe },
    cache,
    features,
  })
}

function simNamed(sims: readonly SimNode[], name: string | null): SimNode {
  const found = sims.find((sim) => sim.name === name)
  if (found === undefined) throw new Error(`no simulated node named ${name}`)
  return found
}

/** Waits until `holds`; throws, naming `what`, after `withinMs`. Looks every 2 ms. */
export async function until(holds: () => boolean, what: string, withinMs = 5_000): Promise<void> {
  const endMs = systemClock.nowMs() + withinMs
  while (!holds()) {
    if (systemClock.nowMs() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`)
    await systemClock.sleep(2)
  }
}
