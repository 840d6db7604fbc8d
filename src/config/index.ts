/** What the rest of Corral uses of the configuration. */
export { type Origin, originOf, type Origins, originText } from './assignment.ts'
export type { Environment } from './env-source.ts'
export { processEnvironment, wantsColour } from './environment.ts'
export type { ConfigFlags } from './flag-source.ts'
export { loadConfig, type LoadResult } from './load.ts'
export { type Problem, problemText } from './problem.ts'
export type { Config } from './schema.ts'
