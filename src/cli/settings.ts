/** Loading the configuration for a command: problems become one error with exit code 2, warnings go to stderr. */
import { type ConfigFlags, loadConfig, problemText, processEnvironment, type LoadResult, type Problem } from '../config/index.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { printMessage } from './output.ts'

export type Settings = Extract<LoadResult, { kind: 'ok' }>

/** Options of every command that reads the configuration, as commander names them. */
export interface ConfigOptions {
  readonly config?: string
  readonly host?: string
  readonly port?: string
  readonly workers?: string
  readonly node?: readonly string[]
  readonly insecureNoAuth?: boolean
  readonly set?: readonly string[]
}

function flagsOf({ config, host, port, workers, node, insecureNoAuth, set }: ConfigOptions): ConfigFlags {
  return { config, host, port, workers, nodes: node, insecureNoAuth, set }
}

/** Loads without judging: for reload and for `doctor`. */
export function tryLoad(options: ConfigOptions): Promise<LoadResult> {
  return loadConfig({ flags: flagsOf(options), env: processEnvironment(), cwd: process.cwd() })
}

/** The error for a configuration with problems. A single problem is one sentence. */
export function invalidConfig(problems: readonly Problem[]): CliError {
  const lines = problems.map((problem) => problemText(problem))
  const [first = 'unknown problem'] = lines
  if (lines.length === 1) return new CliError(exitCodes.usage, first)
  return new CliError(exitCodes.usage, `the configuration has ${lines.length} problems`, lines)
}

/** Loads, or throws a `CliError` with exit code 2. */
export async function settingsOf(options: ConfigOptions): Promise<Settings> {
  const loaded = await tryLoad(options)
  if (loaded.kind === 'invalid') throw invalidConfig(loaded.problems)
  for (const warning of loaded.warnings) printMessage(`corral: warning: ${warning}`)
  return loaded
}
