/** Command-line flags as assignments. `--set` reaches every key; the others are short forms of the most used ones. */
import type { Assignment, Origin } from './assignment.ts'
import type { SourceResult } from './file-source.ts'
import { leafPaths, shapeAt } from './key-tree.ts'
import { parsePath, pathText } from './path.ts'
import { nearest, type Problem, problemAt } from './problem.ts'
import { flatten, valueFromText } from './value-text.ts'

export interface ConfigFlags {
  readonly config?: string | undefined
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly workers?: string | undefined
  readonly nodes?: readonly string[] | undefined
  readonly insecureNoAuth?: boolean | undefined
  /** `key=value` texts in the order given. */
  readonly set?: readonly string[] | undefined
}

function setFlag(text: string): { assignments: Assignment[] } | { problem: Problem } {
  const equals = text.indexOf('=')
  const key = equals < 0 ? text : text.slice(0, equals)
  const origin: Origin = { kind: 'flag', name: `--set ${key}` }
  if (equals < 1) return { problem: problemAt(origin, 'expected key=value, such as --set http.port=8080') }
  const path = parsePath(key)
  const shape = path === null ? null : shapeAt(path)
  if (path === null || shape === null) {
    const known = leafPaths().map((leaf) => pathText(leaf))
    const meant = nearest(key, known) ?? known.find((candidate) => candidate.endsWith(`.${key}`)) ?? null
    return { problem: problemAt(origin, `unknown key${meant === null ? '' : `; did you mean ${meant}?`}`) }
  }
  return { assignments: flatten(path, valueFromText(shape, text.slice(equals + 1)), origin) }
}

/** Assignments of the flags, `--set` last. */
export function readFlags(flags: ConfigFlags): SourceResult {
  const assignments: Assignment[] = []
  const problems: Problem[] = []
  const put = (key: string, text: string | undefined, name: string): void => {
    const path = key.split('.')
    const shape = shapeAt(path)
    if (text !== undefined && shape !== null) assignments.push(...flatten(path, valueFromText(shape, text), { kind: 'flag', name }))
  }
  put('http.host', flags.host, '--host')
  put('http.port', flags.port, '--port')
  put('http.workers', flags.workers, '--workers')
  if (flags.insecureNoAuth === true) put('http.insecureNoAuth', 'true', '--insecure-no-auth')
  if (flags.nodes !== undefined && flags.nodes.length > 0) put('fleet.nodes', flags.nodes.join(','), '--node')
  for (const text of flags.set ?? []) {
    const result = setFlag(text)
    if ('problem' in result) problems.push(result.problem)
    else assignments.push(...result.assignments)
  }
  return { assignments, problems, warnings: [] }
}
