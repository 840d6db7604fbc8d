/** What the rest of Corral uses of the configuration. */
export { processEnvironment } from './environment.ts'
export type { ConfigFlags } from './flag-source.ts'
export { loadConfig, type LoadResult } from './load.ts'
export { type Problem, problemText } from './problem.ts'
export type { Config } from './schema.ts'
