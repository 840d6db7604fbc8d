/**
 * The one secret of an installation: it keys digests of API keys, caches and cursors. It comes from the configuration
 * (`CORRAL_SECRET` or its file form); beside an embedded store it is made at the first start and kept in the data folder, since
 * it is worth as much as that folder. Replicas on a shared store must be given the same one.
 */
import { randomBytes } from 'node:crypto'
import { chmod, link, readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CorralError } from '../core/errors.ts'
import { ensureDataFolder } from '../store/data-folder.ts'

const fileName = 'secret'

export interface SecretSource {
  /** From the configuration; null when none was given. */
  readonly given: string | null
  /** Folder of an embedded store; null on a shared one. */
  readonly dataDir: string | null
}

/** The secret. Throws `invalid_request` when there is none and none may be made, `DataFolderError` when it cannot be kept. */
export async function loadSecret({ given, dataDir }: SecretSource): Promise<string> {
  if (given !== null) return given
  if (dataDir === null) {
    throw new CorralError('invalid_request', 'a shared store needs CORRAL_SECRET (or CORRAL_SECRET_FILE), the same on every replica')
  }
  ensureDataFolder(dataDir)
  const path = join(dataDir, fileName)
  return (await readSecret(path)) ?? (await makeSecret(path))
}

async function readSecret(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** Written whole under another name and linked: of two processes that start at once, both use the first one's. */
async function makeSecret(path: string): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
  await chmod(draft, 0o600)
  try {
    await link(draft, path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    await unlink(draft)
  }
  const secret = await readSecret(path)
  if (secret === null) throw new Error('the secret was removed while it was made')
  return secret
}
