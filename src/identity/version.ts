/** The version of all keys, tenants and revocations: one row, moved on by one in the transaction of each change. */
import type { Transaction } from '../store/database.ts'

/** The version as it stands. */
export async function readVersion(transaction: Pick<Transaction, 'query'>): Promise<bigint> {
  return versionIn(await transaction.query('select version from identity_version'))
}

/** Moves it on; gives the new one. Changes wait for each other here, so versions are in the order of their commits. */
export async function moveVersion(transaction: Transaction): Promise<bigint> {
  return versionIn(await transaction.query('update identity_version set version = version + 1 returning version'))
}

function versionIn({ rows }: Awaited<ReturnType<Transaction['query']>>): bigint {
  return BigInt(String(rows[0]?.['version']))
}
