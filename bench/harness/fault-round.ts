/**
 * One round of a fault scenario: two herds, the nodes that go bad and those that stay good, under steady load. The
 * load runs clean for a while, then the fault comes, by a setting of the bad nodes or by a signal to their process,
 * then it goes. What is counted begins with the fault.
 */
import { systemClock } from '../../src/base/clock.ts'
import type { GatewaySettings } from './gateway.ts'
import type { LoadWindow } from './load-spec.ts'
import type { MockFault, MockSettings } from './mock-settings.ts'
import type { LoadDriver, MockHerd, Stage } from './stage.ts'

export type Fault = { readonly by: 'setting'; readonly fault: MockFault } | { readonly by: 'signal'; readonly signal: NodeJS.Signals }

/** What one round plays. Times in milliseconds. */
export interface RoundPlan {
  readonly nodes: number
  readonly badNodes: number
  readonly clients: number
  readonly fault: Fault
  readonly settings: Partial<MockSettings>
  readonly body: string
  readonly gateway: GatewaySettings
  /** Load without a fault; 0: the fault is there before the first request. */
  readonly beforeMs: number
  readonly faultMs: number
  /** Load after the fault has gone; requests that end then count as well. */
  readonly afterMs: number
  readonly clientTimeoutMs: number
  /** Waits so long for requests still under way at the end; they count. 0: only those that end by then. */
  readonly graceMs: number
}

export interface Round {
  readonly before: LoadWindow
  /** From the fault to the end. */
  readonly during: LoadWindow
  /** Requests the bad nodes and all nodes got once the fault was two seconds old; 0 when a signal took the nodes. */
  readonly badArrivals: number
  readonly arrivals: number
  /** Requests at work on the bad nodes just before the fault. */
  readonly badInFlight: number
  /** From the end of the fault to the bad nodes' next request. */
  readonly returnMs: number
}

export interface Cast {
  readonly bad: MockHerd
  readonly good: MockHerd
  readonly driver: LoadDriver
  readonly port: number
}

const shareFromMs = 2_000
const rampMs = 200

/** Starts the herds and a gateway in front of both, bad nodes first, and a driver that is still at rest. */
export async function castOf(stage: Stage, plan: Pick<RoundPlan, 'nodes' | 'badNodes' | 'settings' | 'gateway'>): Promise<Cast> {
  const bad = await stage.mock(plan.badNodes, plan.settings)
  const good = await stage.mock(plan.nodes - plan.badNodes, plan.settings)
  const { port } = await stage.gateway([...bad.ports, ...good.ports], plan.gateway)
  return { bad, good, driver: await stage.driver(), port }
}

async function arrivalsAt(herd: MockHerd): Promise<number> {
  return (await herd.counters()).reduce((sum, node) => sum + node.arrivals, 0)
}

/** Milliseconds until `herd` gets its next request, at most `withinMs`; its counters begin anew. */
export async function untilServed(herd: MockHerd, withinMs: number): Promise<number> {
  await herd.reset()
  const startMs = systemClock.nowMs()
  while (systemClock.nowMs() - startMs < withinMs && (await arrivalsAt(herd)) === 0) await systemClock.sleep(10)
  return systemClock.nowMs() - startMs
}

async function begin(herd: MockHerd, fault: Fault): Promise<void> {
  if (fault.by === 'signal') herd.signal(fault.signal)
  else await herd.set({ fault: fault.fault })
}

/** A process that ended stays away. */
async function end(herd: MockHerd, fault: Fault): Promise<void> {
  if (fault.by === 'setting') await herd.set({ fault: 'none' })
  else if (fault.signal === 'SIGSTOP') herd.signal('SIGCONT')
}

/** Requests the bad nodes and all nodes get from two seconds into the fault to its end. */
async function shares({ bad, good }: Cast, plan: RoundPlan): Promise<Pick<Round, 'badArrivals' | 'arrivals'>> {
  const countMs = plan.faultMs - shareFromMs
  await systemClock.sleep(Math.min(shareFromMs, plan.faultMs))
  if (plan.fault.by === 'signal') {
    await systemClock.sleep(Math.max(0, countMs))
    return { badArrivals: 0, arrivals: 0 }
  }
  await Promise.all([bad.reset(), good.reset()])
  await systemClock.sleep(Math.max(0, countMs))
  const [badArrivals, goodArrivals] = await Promise.all([arrivalsAt(bad), arrivalsAt(good)])
  return { badArrivals, arrivals: badArrivals + goodArrivals }
}

export async function playRound(stage: Stage, plan: RoundPlan): Promise<Round> {
  const cast = await castOf(stage, plan)
  if (plan.beforeMs === 0) await begin(cast.bad, plan.fault)
  const { bad, driver } = cast
  await driver.start({ port: cast.port, body: plan.body, connections: plan.clients, timeoutMs: plan.clientTimeoutMs, rampMs })
  await systemClock.sleep(plan.beforeMs)
  const badInFlight = (await bad.counters()).reduce((sum, node) => sum + node.inFlight, 0)
  const before = await driver.mark()
  if (plan.beforeMs > 0) await begin(bad, plan.fault)
  const share = await shares(cast, plan)
  await end(bad, plan.fault)
  const startMs = systemClock.nowMs()
  const returnMs = plan.fault.by === 'setting' && plan.afterMs > 0 ? await untilServed(bad, plan.afterMs) : 0
  await systemClock.sleep(Math.max(0, plan.afterMs - (systemClock.nowMs() - startMs)))
  const marked = plan.graceMs === 0 ? await driver.mark() : undefined
  const last = await driver.finish(plan.graceMs)
  const during = marked ?? last
  return { before, during, ...share, badInFlight, returnMs }
}
