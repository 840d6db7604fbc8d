/** Where what outlives the process is kept when the configuration does not say: the user's data folder by the XDG rules. */
import { homedir } from 'node:os'
import { join } from 'node:path'

import type { Environment } from './env-source.ts'
import { processEnvironment } from './environment.ts'
import type { Config } from './schema.ts'

/** The folder of the embedded store and of the secret made for it. */
export function dataFolder({ store }: Pick<Config, 'store'>, env: Environment = processEnvironment()): string {
  if (store.dataDir !== null) return store.dataDir
  const base = env['XDG_DATA_HOME']
  return base !== undefined && base.startsWith('/') ? join(base, 'corral') : join(homedir(), '.local', 'share', 'corral')
}
