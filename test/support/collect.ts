/** The garbage collector on demand: what a test measures afterwards is what is held, not what has not been collected yet. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')

/** Collects everything nobody holds. */
export const collect: () => void = runInNewContext('gc')
