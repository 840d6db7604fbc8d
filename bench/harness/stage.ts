/**
 * The cast of one bench: mock nodes, the bare proxy, gateways and load drivers, each in its own process. A stage
 * stops everything it started, in reverse order, whether the bench ended well or not.
 */
import { z } from 'zod'

import { startChild } from './control.ts'
import type { ControlledChild } from './control.ts'
import { once, startGateway } from './gateway.ts'
import type { Gateway, GatewaySettings } from './gateway.ts'
import { loadSpec, loadWindow } from './load-spec.ts'
import type { LoadSpec, LoadWindow } from './load-spec.ts'
import { mockCounters } from './mock-settings.ts'
import type { MockCounters, MockSettings } from './mock-settings.ts'
import { monotonicUs } from './monotonic.ts'
import type { BenchOptions } from './result.ts'

/** Something that takes requests on a port. */
export interface Target {
  readonly name: string
  readonly pid: number
  readonly port: number
}

/** Several mock nodes in one process. */
export class MockHerd {
  readonly ports: readonly number[]
  readonly #child: ControlledChild

  constructor(child: ControlledChild, ports: readonly number[]) {
    this.#child = child
    this.ports = ports
  }

  /** Changes some settings of `nodes` (all when absent). */
  async set(settings: Partial<MockSettings>, nodes?: readonly number[]): Promise<void> {
    await this.#child.call('set', { settings, nodes })
  }

  async counters(): Promise<MockCounters[]> {
    return z.array(mockCounters).parse(await this.#child.call('counters'))
  }

  async reset(): Promise<void> {
    await this.#child.call('reset')
  }

  /** Sends a signal to the process of all its nodes. A herd that is stopped or dead answers no call. */
  signal(name: NodeJS.Signals): void {
    this.#child.signal(name)
  }

  /** One node as a target of its own: the road without any proxy. */
  direct(): Target {
    return { name: 'direct', pid: 0, port: this.ports[0] ?? 0 }
  }
}

export class LoadDriver {
  readonly #child: ControlledChild

  constructor(child: ControlledChild) {
    this.#child = child
  }

  async start(spec: z.input<typeof loadSpec>): Promise<void> {
    const whole: LoadSpec = loadSpec.parse(spec)
    await this.#child.call('start', whole)
  }

  async mark(): Promise<LoadWindow> {
    return loadWindow.parse(await this.#child.call('mark'))
  }

  /** Waits until `requestsMax` requests have ended. */
  async all(): Promise<void> {
    await this.#child.call('all')
  }

  async finish(graceMs = 10_000): Promise<LoadWindow> {
    return loadWindow.parse(await this.#child.call('finish', graceMs))
  }

  async openIdle(port: number, count: number): Promise<number> {
    return z.int().parse(await this.#child.call('idle', { port, count }))
  }

  async idleOpen(): Promise<number> {
    return z.int().parse(await this.#child.call('idleOpen'))
  }

  async closeIdle(): Promise<void> {
    await this.#child.call('idleClose')
  }
}

export class Stage {
  readonly #stops: (() => Promise<void>)[] = []
  readonly #target: BenchOptions['target']

  constructor(target: BenchOptions['target']) {
    this.#target = target
  }

  async mock(count: number, settings: Partial<MockSettings> = {}): Promise<MockHerd> {
    const child = await this.#start('./mock-process.ts', [String(count)])
    const herd = new MockHerd(child, z.array(z.int()).parse(await child.call('ports')))
    await herd.set(settings)
    return herd
  }

  async bare(ports: readonly number[]): Promise<Target> {
    const child = await this.#start('./bare-proxy.ts', ports.map(String))
    return { name: 'bare', pid: child.pid, port: z.int().parse(await child.call('port')) }
  }

  /** A server that knows no more than one answer. */
  async bareAnswer(answer: { readonly headers: Readonly<Record<string, string>>; readonly body: string }): Promise<Target> {
    const child = await this.#start('./bare-answer-process.ts', [])
    await child.call('set', answer)
    return { name: 'bare-answer', pid: child.pid, port: z.int().parse(await child.call('port')) }
  }

  /** The gateway in front of `ports`, ready for requests; under `--target bare` the bare proxy in its place. */
  async gateway(ports: readonly number[], settings: GatewaySettings = {}): Promise<Gateway> {
    if (this.#target === 'bare') return this.#bareInPlace(ports)
    const gateway = await startGateway(ports, settings)
    this.#stops.push(() => gateway.stop())
    return gateway
  }

  async driver(): Promise<LoadDriver> {
    return new LoadDriver(await this.#start('./load-process.ts', []))
  }

  /** A server that ends with the stage. */
  async service<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
    const service = await starting
    this.#stops.push(() => service.stop())
    return service
  }

  async close(): Promise<void> {
    for (const stop of this.#stops.toReversed()) await stop()
  }

  async #bareInPlace(ports: readonly number[]): Promise<Gateway> {
    const startUs = monotonicUs()
    const child = await startChild(new URL('./bare-proxy.ts', import.meta.url), { args: ports.map(String) })
    const firstAnswerMs = (monotonicUs() - startUs) / 1_000
    const gateway: Gateway = {
      name: 'corral',
      pid: child.pid,
      port: z.int().parse(await child.call('port')),
      firstAnswerMs,
      said: () => '',
      stop: once(() => child.stop()),
    }
    this.#stops.push(() => gateway.stop())
    return gateway
  }

  async #start(script: string, args: readonly string[]): Promise<ControlledChild> {
    const child = await startChild(new URL(script, import.meta.url), { args })
    this.#stops.push(() => child.stop())
    return child
  }
}

/** Runs `act` on a fresh stage and clears it. */
export async function onStage<T>(options: BenchOptions, act: (stage: Stage) => Promise<T>): Promise<T> {
  const stage = new Stage(options.target)
  try {
    return await act(stage)
  } finally {
    await stage.close()
  }
}
