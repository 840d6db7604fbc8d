/** Whether a gateway has documents at all, and what they need: a gateway without them does not load what they are made with, 7 MB of memory. */
import type { Fleet } from '../fleet/fleet.ts'
import type { Rag, RagParts } from './rag.ts'

interface Kept {
  readonly database: RagParts['database'] | null
  readonly secret: string
}

interface Wanted {
  readonly enabled: boolean
  readonly parts: Omit<RagParts, 'database' | 'secret' | 'fleet'> & { readonly fleet: Pick<Fleet, 'digestOf' | 'catalogue' | 'nodes'> }
}

/** Documents need a database, and a key for what is made of them that outlives this process with it; null: there are none. */
export async function createOptionalRag(kept: Kept | undefined, { enabled, parts: { fleet, ...parts } }: Wanted): Promise<Rag | null> {
  if (kept === undefined || kept.database === null || !enabled) return null
  const { createRag } = await import('./rag.ts')
  return createRag({
    ...parts,
    fleet: {
      digestOf: (model, group) => fleet.digestOf(model, group),
      names: () => fleet.catalogue.names(),
      isLoaded: (model) => fleet.nodes.some(({ loaded }) => loaded.has(model)),
    },
    database: kept.database,
    secret: Buffer.from(kept.secret),
  })
}
