/** The same on an embedded store of its own, where the test brings none. */
import { embeddedOn } from '../store/stores.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { type RagAppOptions, type RagGateway, startRagApp } from './rag-app.ts'

export * from './rag-app.ts'

export async function startRagGateway({ database, ...rest }: Partial<RagAppOptions> = {}): Promise<RagGateway> {
  return startRagApp({ ...rest, database: database ?? embeddedOn(await embeddedFolder()) })
}
