/**
 * What happened around the recorded exchange: the runner, the server or the client that failed, and the requests that kept
 * the node busy. By number, because a recording cannot tell.
 */
import type { SimNode } from '../../../src/sim/node.ts'
import type { WireClient } from './wire-client.ts'

export interface SceneContext {
  readonly node: SimNode
  readonly client: WireClient
  rename(text: string): string
}

export interface Scene {
  /** Runs before the request is sent. */
  before?(context: SceneContext): Promise<void>
  /** Runs once when the third frame is there. */
  onThirdFrame?(context: SceneContext): void
  /** Runs when the request is in flight for `laterMs`. */
  later?(context: SceneContext): void
  /** Runs after the answer. */
  after?(context: SceneContext): Promise<unknown>
}

const laterMs = 90

function post(context: SceneContext, path: string, body: object, method = 'POST'): Promise<unknown> {
  const text = context.rename(JSON.stringify(body))
  const init: RequestInit = { method, body: text }
  return fetch(context.node.url + path, init).then((response) => response.text())
}

/** Sends a request whose end nobody waits for. */
function occupy(context: SceneContext, path: string, body: object): void {
  void post(context, path, body).catch(() => {})
}

const killRunner = (context: SceneContext): void => context.node.control.set('runner-death')
const killServer = (context: SceneContext): void => void context.node.kill()
const restart = (context: SceneContext): Promise<void> => context.node.restart()
const long = { model: 'smollm2:135m', prompt: 'count', options: { num_predict: 4_000 } }

function inFlight(context: SceneContext, count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (context.node.stats().inFlight >= count) resolve()
      else setTimeout(look, 2)
    }
    look()
  })
}

async function twoLoading(context: SceneContext): Promise<void> {
  if (context.node.stats().inFlight >= 2) return
  occupy(context, '/api/generate', long)
  occupy(context, '/api/generate', long)
  await inFlight(context, 2)
}

async function freshNode(context: SceneContext): Promise<void> {
  await context.node.kill()
  await context.node.restart()
}

async function busySlot(context: SceneContext): Promise<void> {
  occupy(context, '/api/generate', long)
  await inFlight(context, 1)
  await post(context, '/api/generate', { model: 'smollm2:135m' })
}

function range(from: number, to: number, scene: Scene): [number, Scene][] {
  return Array.from({ length: to - from + 1 }, (_, index): [number, Scene] => [from + index, scene])
}

const unload = { model: 'smollm2:135m', keep_alive: 0 }

function copied(source: string, destination: string): Scene {
  return {
    before: async (context) => {
      await post(context, '/api/copy', { source, destination })
    },
  }
}

export const scenes: ReadonlyMap<number, Scene> = new Map<number, Scene>([
  [147, { after: (context) => post(context, '/api/delete', { model: 'x' }, 'DELETE') }],
  [
    169,
    {
      before: async (context) => {
        await post(context, '/api/generate', { model: 'smollm2:135m' })
        await post(context, '/api/generate', { model: 'alias:v1' })
      },
    },
  ],
  [301, copied('127.0.0.1:21439/library/tiny', '127.0.0.1:21439/library/pushed')],
  [305, copied('tiny', 'someone/tiny')],
  ...range(401, 407, { onThirdFrame: killRunner }),
  ...range(408, 414, { later: killRunner }),
  [415, { onThirdFrame: (context) => occupy(context, '/api/generate', unload) }],
  [
    416,
    {
      before: async (context) => {
        await post(context, '/api/copy', { source: 'smollm2:135m', destination: 'temp' })
      },
      onThirdFrame: (context) => void post(context, '/api/delete', { model: 'temp' }, 'DELETE'),
    },
  ],
  ...range(417, 419, { onThirdFrame: killServer, after: restart }),
  [420, { later: killServer, after: restart }],
  ...range(421, 422, { onThirdFrame: killServer, after: restart }),
  [423, { later: killServer, after: restart }],
  ...range(431, 441, { before: twoLoading }),
  [442, { before: freshNode, later: killRunner }],
  ...range(443, 444, { before: busySlot, later: killRunner }),
  [445, { onThirdFrame: (context) => context.client.halfClose() }],
])

/** Milliseconds after which `later` runs. */
export const sceneDelayMs = laterMs
