/**
 * What goes wrong in a year, put into minutes: nodes that fail in each of their ways, stores that fail (`store-fault.ts`), settings that are
 * changed and settings that are wrong, and replicas that are restarted one after the other.
 */
import { writeFileSync } from 'node:fs'
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import type { FaultKind } from '../../src/sim/faults.ts'
import type { SimNode } from '../../src/sim/node.ts'
import type { Gateway } from './gateway.ts'
import { storeFaults, type StoreServers } from './store-fault.ts'

/** Begins, lasts as long as the bench lets it, and ends. */
export interface Disturbance {
  readonly name: string
  begin(): Promise<void>
  end(): Promise<void>
}

export interface Replica {
  gateway(): Gateway
  /** Ends it as an operator does and starts it anew on its port; resolves when it is ready. */
  restart(): Promise<void>
}

export interface Scene {
  readonly nodes: readonly SimNode[]
  readonly replicas: readonly Replica[]
  readonly stores: StoreServers
  /** The settings file of all replicas. */
  readonly configFile: string
}

const nodeFaults: readonly FaultKind[] = [
  'refuse',
  'rst-before-head',
  'instant-503',
  'hang-before-head',
  'rst-at-frame',
  'missing-model',
  'hang-mid-stream',
  'frozen-runner',
  'flap',
  'server-error',
]

/** One after the other of the nodes, so that each meets each fault in the end. */
function nodeDisturbances({ nodes }: Scene): Disturbance[] {
  let turn = 0
  return nodeFaults.map((kind) => {
    let node: SimNode | undefined
    return {
      name: `node: ${kind}`,
      begin: async () => {
        node = nodes[turn % nodes.length]
        turn += 1
        node?.control.set(kind)
      },
      end: async () => node?.control.clear(),
    }
  })
}

function storeDisturbances({ stores }: Scene): Disturbance[] {
  return storeFaults.map((fault) => ({ name: fault.name, begin: () => fault.begin(stores), end: () => fault.end(stores) }))
}

const configPage = z.object({ lastReload: z.object({ at: z.string(), kind: z.enum(['started', 'applied', 'kept']) }) })
const reloadMsMax = 10_000

async function lastReload(port: number): Promise<z.infer<typeof configPage>['lastReload']> {
  const answer = await fetch(`http://127.0.0.1:${port}/admin/config`)
  return configPage.parse(await answer.json()).lastReload
}

/** Writes the file, tells every replica, and waits until each has done `wanted` with it. */
async function reload({ configFile, replicas }: Scene, text: string, wanted: 'applied' | 'kept'): Promise<void> {
  writeFileSync(configFile, text)
  for (const replica of replicas) {
    const { pid, port } = replica.gateway()
    const { at } = await lastReload(port)
    process.kill(pid, 'SIGHUP')
    const endMs = systemClock.nowMs() + reloadMsMax
    for (let seen = await lastReload(port); seen.at === at || seen.kind !== wanted; seen = await lastReload(port)) {
      if (systemClock.nowMs() > endMs) throw new Error(`a replica did not say "${wanted}" of its new settings`)
      await systemClock.sleep(20)
    }
  }
}

/** Two files, both good; what they change is something a running gateway takes over. */
export const settingsFiles = { usual: 'fleet: { probe: { intervalMs: 1s } }\n', other: 'fleet: { probe: { intervalMs: 800ms } }\n' }
const wrongSettings = 'fleet: { prob: { intervalMs: 1s } }\n'

function operatorDisturbances(scene: Scene): Disturbance[] {
  return [
    {
      name: 'settings changed and reloaded',
      begin: () => reload(scene, settingsFiles.other, 'applied'),
      end: () => reload(scene, settingsFiles.usual, 'applied'),
    },
    {
      name: 'wrong settings, the old ones kept',
      begin: () => reload(scene, wrongSettings, 'kept'),
      end: async () => writeFileSync(scene.configFile, settingsFiles.usual),
    },
    {
      name: 'rolling restart',
      begin: async () => {
        for (const replica of scene.replicas) await replica.restart()
      },
      end: async () => {},
    },
  ]
}

/** One round; each call has its own turn of nodes, so keep it for all rounds. */
export function disturbancesOf(scene: Scene): Disturbance[] {
  const others = [...storeDisturbances(scene), ...operatorDisturbances(scene)]
  // A node between any two of the others.
  return nodeDisturbances(scene).flatMap((node, index) => [node, ...others.slice(index, index + 1)])
}
