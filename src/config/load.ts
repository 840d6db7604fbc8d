/**
 * Loads the configuration: defaults, then the file, then the environment, then flags; the later wins. The file is the one
 * of `--config`, else of `CORRAL_CONFIG`, else `./corral.yaml` when it exists, else none. Nothing is interpolated.
 * Loading never throws for what an operator can write wrong: it answers with all problems at once.
 */
import { existsSync, readFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'

import { applyAssignments, type Assignment, originText, type Origins } from './assignment.ts'
import { type Environment, readEnvironment } from './env-source.ts'
import type { SourceResult } from './file-source.ts'
import { type ConfigFlags, readFlags } from './flag-source.ts'
import { isSecret, shapeAt } from './key-tree.ts'
import { type Path, pathText } from './path.ts'
import type { Problem } from './problem.ts'
import type { Config } from './schema.ts'
import { validate } from './validate.ts'

export interface LoadInput {
  readonly flags: ConfigFlags
  readonly env: Environment
  readonly cwd: string
}

export type LoadResult =
  | {
      readonly kind: 'ok'
      readonly config: Config
      readonly origins: Origins
      readonly warnings: readonly string[]
      /** The file that was read, as shown to people; null when there is none. */
      readonly file: string | null
    }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }

/** The name under which the file is looked for in the working directory. */
export const defaultFileName = 'corral.yaml'

const nothing: SourceResult = { assignments: [], problems: [], warnings: [] }

/** Loads and validates. */
export async function loadConfig({ flags, env, cwd }: LoadInput): Promise<LoadResult> {
  const file = findFile(flags, env, cwd)
  const sources = [file === null ? nothing : await readFile(file, cwd), readEnvironment(env), readFlags(flags)]
  const problems = sources.flatMap((source) => source.problems)
  const assignments = sources.flatMap((source) => source.assignments).map((assignment) => readReferred(assignment, cwd, problems))
  const applied = applyAssignments(assignments)
  const validated = validate(applied)
  if (validated.kind === 'invalid') return { kind: 'invalid', problems: [...problems, ...validated.problems].toSorted(byPlace) }
  if (problems.length > 0) return { kind: 'invalid', problems }
  const warnings = sources.flatMap((source) => source.warnings)
  return { kind: 'ok', config: validated.config, origins: applied.origins, warnings, file: file === null ? null : shown(file, cwd) }
}

/** By file, line and column: `:10:` after `:9:`. */
function byPlace(a: Problem, b: Problem): number {
  return a.where.localeCompare(b.where, 'en', { numeric: true })
}

function findFile(flags: ConfigFlags, env: Environment, cwd: string): string | null {
  const named = flags.config ?? env['CORRAL_CONFIG']
  if (named !== undefined && named !== '') return resolve(cwd, named)
  const usual = resolve(cwd, defaultFileName)
  return existsSync(usual) ? usual : null
}

function shown(file: string, cwd: string): string {
  const near = relative(cwd, file)
  return near.startsWith('..') ? file : near
}

/** The YAML reader is loaded only when there is a file: it is a fifth of the time to start. */
async function readFile(file: string, cwd: string): Promise<SourceResult> {
  const { readConfigFile } = await import('./file-source.ts')
  return readConfigFile(file, shown(file, cwd))
}

/** The key whose value `<key>File` names a file for; null when `path` is a key of its own. */
function referredKey(path: Path): Path | null {
  const last = path[path.length - 1]
  if (typeof last !== 'string' || !last.endsWith('File') || last === 'File') return null
  const base = [...path.slice(0, -1), last.slice(0, -'File'.length)]
  const isOwnKey = shapeAt(path) !== null && !isSecret(path)
  return !isOwnKey && shapeAt(base)?.kind === 'text' ? base : null
}

/** Replaces `<key>File: name` by `<key>: <content of the file, trimmed>`. */
function readReferred(assignment: Assignment, cwd: string, problems: Problem[]): Assignment {
  const base = referredKey(assignment.path)
  const name = assignment.fromFile ?? (base === null || typeof assignment.value !== 'string' ? null : assignment.value)
  if (name === null) return assignment
  const path = base ?? assignment.path
  try {
    return { ...assignment, path, value: readFileSync(resolve(cwd, name), 'utf8').trim(), fromFile: name }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    problems.push({ message: `${pathText(path)}: cannot read its file: ${reason}`, where: originText(assignment.origin) })
    return { ...assignment, path, value: '', fromFile: name }
  }
}
