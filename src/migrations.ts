/** All steps of the schema, put together from the features that own the tables. */
import { answerMigrations } from './answer/migrations.ts'
import { cacheMigrations } from './cache/migrations.ts'
import { nodeMigrations } from './http/admin/node-store.ts'
import { switchMigrations } from './http/admin/switch-store.ts'
import { idempotencyMigrations } from './http/rag/idempotency.ts'
import { identityMigrations } from './identity/migrations.ts'
import { ingestMigrations } from './ingest/migrations.ts'
import { limitsMigrations } from './limits/migrations.ts'
import { searchMigrations } from './search/migrations.ts'
import type { Migration } from './store/migration.ts'

/** In the order in which they are applied. */
export const migrations: readonly Migration[] = [
  ...identityMigrations,
  ...limitsMigrations,
  ...cacheMigrations,
  ...searchMigrations,
  ...ingestMigrations,
  ...answerMigrations,
  ...idempotencyMigrations,
  ...switchMigrations,
  ...nodeMigrations,
].toSorted((a, b) => a.number - b.number)
