/** Where texts are that documents brought: in the tables of the store, and in the cache in memory. */
import { z } from 'zod'

import { mustBe, type RagGateway } from './rag-gateway.ts'

/** Tables in which `words` stand, as text or as bytes. */
export async function atRest({ database }: RagGateway, words: string): Promise<string[]> {
  const hex = Buffer.from(words).toString('hex')
  return database.tx('system', async (transaction) => {
    const { rows } = await transaction.query(
      `select table_name from information_schema.tables where table_schema = current_schema() and table_type = 'BASE TABLE'`,
    )
    const found: string[] = []
    for (const { name } of rows.map((row) => ({ name: z.string().parse(row['table_name']) }))) {
      const like = `select 1 from "${name}" as one where one::text like $1 or one::text like $2 limit 1`
      const hits = await transaction.query(like, [`%${words}%`, `%${hex}%`])
      if (hits.rows.length > 0) found.push(name)
    }
    return found
  })
}

const counted = z.object({ memory: z.number() })

/** Entries of a tenant that a purge would remove from memory. */
export async function inMemory(gateway: RagGateway, tenant: string, kind?: string): Promise<number> {
  const operator = await gateway.key({ tenant: 'local', scopes: ['admin'] })
  const body = { tenant, ...(kind === undefined ? {} : { kind }), dryRun: true }
  return counted.parse(mustBe(200, await gateway.ask('POST', '/admin/cache/purge', { key: operator, body })).json).memory
}
