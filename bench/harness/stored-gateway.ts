/** A gateway with a Postgres behind PgBouncer, before simulated nodes, eight unless said otherwise (not mocks: they embed by what a text says). */
import { createHerd, type HerdOptions } from '../../src/sim/herd.ts'
import type { Gateway } from './gateway.ts'
import { startPooledPostgres } from './services.ts'
import type { Stage } from './stage.ts'

export interface StoredGateway {
  readonly gateway: Gateway
  /** Of the nodes. */
  readonly ports: readonly number[]
}

export async function storedGateway(stage: Stage, sims: Partial<HerdOptions>, env: NodeJS.ProcessEnv = {}): Promise<StoredGateway> {
  const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
  const herd = await createHerd({ nodes: 8, ...sims })
  await stage.service(Promise.resolve({ stop: () => herd.close() }))
  const ports = herd.nodes.map(({ url }) => Number(new URL(url).port))
  const stored = {
    CORRAL_STORE__ENABLED: 'true',
    DATABASE_URL: postgres.pooledUrl,
    CORRAL_SECRET: 'a secret of this bench, thirty-two characters',
  }
  return { gateway: await stage.gateway(ports, { env: { ...stored, ...env } }), ports }
}
