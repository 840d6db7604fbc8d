/** Whether a gateway has documents at all, and what they need: a gateway without them does not load what they are made with, 7 MB of memory. */
import type { Rag, RagParts } from './rag.ts'

interface Kept {
  readonly database: RagParts['database'] | null
  readonly secret: string
}

/** Documents need a database, and a key for what is made of them that outlives this process with it; null: there are none. */
export async function createOptionalRag(
  kept: Kept | undefined,
  { enabled, parts }: { readonly enabled: boolean; readonly parts: Omit<RagParts, 'database' | 'secret'> },
): Promise<Rag | null> {
  if (kept === undefined || kept.database === null || !enabled) return null
  const { createRag } = await import('./rag.ts')
  return createRag({ ...parts, database: kept.database, secret: Buffer.from(kept.secret) })
}
