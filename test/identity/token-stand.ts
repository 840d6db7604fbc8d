/** Identity in jwt mode without a store worth the name: tokens need none. */
import { goingOn, type Database } from '../../src/store/database.ts'
import { createIdentity } from '../../src/identity/identity.ts'
import { identityOptions } from '../../src/identity/options.ts'
import { HandClock, secret, type Stand, type Told, WatchedDatabase } from './fixture.ts'
import { fetchFrom, issuerSection, type TestIssuer } from './issuer.ts'

/** Answers each query with what an empty, migrated store would. */
const emptyStore: Database = {
  kind: 'embedded',
  tx: (_, work) =>
    work(goingOn({ query: (text) => Promise.resolve({ rows: text.includes('identity_version') ? [{ version: '1' }] : [], rowCount: 0 }) })),
  close: () => Promise.resolve(),
}

export async function tokenStand(issuers: readonly TestIssuer[], fields: Readonly<Record<string, unknown>> = {}): Promise<Stand> {
  const database = new WatchedDatabase(emptyStore)
  const clock = new HandClock()
  const told: Told = { decisions: [], failures: [] }
  const identity = createIdentity({
    options: identityOptions.parse({ mode: 'jwt', issuers: issuers.map((issuer) => issuerSection(issuer, fields)) }),
    database,
    secret,
    clock,
    events: {
      decided: (method, result) => void told.decisions.push(`${method} ${result}`),
      upkeepFailed: (what, reason) => void told.failures.push(`${what}: ${reason}`),
    },
    fetchText: fetchFrom(issuers),
  })
  await identity.start()
  return { identity, database, clock, told }
}
