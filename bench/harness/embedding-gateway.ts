/**
 * A gateway in this process before one node that embeds. It embeds documents and questions as the gateway does for its collections
 * (`rag/fleet-calls.ts`): with the prefixes that some models want, and of length 1.
 */
import { randomUUID } from 'node:crypto'

import { type App, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createFleetCalls, type FleetCalls } from '../../src/rag/fleet-calls.ts'
import { CannotRun } from './cannot-run.ts'

const startMsMax = 15_000
const pollMs = 5
/** A slow machine may load a large model first. */
const batchMsMax = 600_000

export interface EmbeddingGateway extends Pick<App, 'fleet'> {
  readonly calls: FleetCalls
  close(): Promise<void>
}

/** A gateway before the node at `url`. No batch is asked for twice: a cache would only take room. */
export async function openEmbeddingGateway(url: string, closeNode: () => Promise<void> = async () => {}): Promise<EmbeddingGateway> {
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    fleet: { nodes: [{ url }], probe: { timeoutMs: 5_000 } },
    observe: { log: { level: 'silent', access: false } },
    cache: { enabled: false },
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-bench' })
  await app.listen()
  const { fleet } = app
  const calls = createFleetCalls({
    relay: fleet.relay,
    clock: systemClock,
    newId: randomUUID,
    deadlineMs: () => batchMsMax,
    childTrace: () => null,
    digestOf: (model, group) => fleet.digestOf(model, group),
  })
  const close = async (): Promise<void> => {
    await app.close(0)
    await closeNode()
  }
  return { fleet, calls, close }
}

/** Resolves when the models of the node are known; throws with why it is down. */
export async function untilModelsKnown({ fleet }: EmbeddingGateway, description: string): Promise<void> {
  const endMs = systemClock.nowMs() + startMsMax
  for (;;) {
    const [node] = fleet.nodes
    if (node?.modelsKnown === true) return
    if (node?.up === false || systemClock.nowMs() > endMs) {
      const why = node?.downReason ?? `no list of models within ${startMsMax} ms`
      throw new CannotRun(`no Ollama answers ${description} (${why}): start it with "ollama serve", or name another with --ollama`)
    }
    await systemClock.sleep(pollMs)
  }
}
