/**
 * `CORRAL_…` variables as assignments: `__` separates steps, a step matches a key without regard to case and `_`
 * (`CORRAL_FLEET__PROBE__INTERVAL_MS` is `fleet.probe.intervalMs`), a number is an index, and a step below an open map
 * becomes lower-case with `-` (`CORRAL_FLEET__NODES__0__HEADERS__X_API_KEY` is the header `x-api-key`).
 *
 * A name with `__` that matches nothing is an error. One without is only warned about: a cluster sets names such as
 * `CORRAL_SERVICE_HOST` and `CORRAL_PORT` by itself for a service called corral, and those are silently passed over.
 */
import type { Assignment, Origin } from './assignment.ts'
import { childShape, type KeyShape, leafPaths, rootShape, shapeAt } from './key-tree.ts'
import type { SourceResult } from './file-source.ts'
import type { Path, Step } from './path.ts'
import { nearest, plainWord, type Problem, problemAt } from './problem.ts'
import { flatten, valueFromText } from './value-text.ts'

export type Environment = Readonly<Record<string, string | undefined>>

const prefix = 'CORRAL_'
const fileSuffix = '_FILE'
const nodesName = 'CORRAL_NODES'
/** Names that platforms and OpenTelemetry give to what is the same everywhere. A `CORRAL_…` name for the same key is stronger. */
const platformNames: Readonly<Record<string, Path>> = {
  DATABASE_URL: ['store', 'url'],
  REDIS_URL: ['redis', 'url'],
  OTEL_EXPORTER_OTLP_ENDPOINT: ['observe', 'trace', 'endpoint'],
  OTEL_EXPORTER_OTLP_HEADERS: ['observe', 'trace', 'headers'],
  OTEL_SERVICE_NAME: ['observe', 'trace', 'service'],
  OTEL_TRACES_SAMPLER: ['observe', 'trace', 'sampler'],
  OTEL_TRACES_SAMPLER_ARG: ['observe', 'trace', 'ratio'],
}
const ownNames: ReadonlySet<string> = new Set(['CORRAL_CONFIG', 'CORRAL_API_KEY'])
const setByClusters = /^CORRAL_(SERVICE_(HOST|PORT)|PORT)(_|$)/

interface Target {
  readonly path: Path
  readonly shape: KeyShape
}

function matchStep(shape: KeyShape, word: string): Step | null {
  if (shape.kind === 'section') {
    const wanted = plainWord(word)
    for (const key of shape.keys.keys()) if (plainWord(key) === wanted) return key
    return null
  }
  if (shape.kind === 'record') return word.toLowerCase().replaceAll('_', '-')
  if (shape.kind === 'list' && /^\d{1,4}$/.test(word)) return Number(word)
  return null
}

function findTarget(words: readonly string[]): Target | null {
  const path: Step[] = []
  let shape: KeyShape = rootShape
  for (const word of words) {
    const step = matchStep(shape, word)
    const child = step === null ? null : childShape(shape, step)
    if (step === null || child === null) return null
    path.push(step)
    shape = child
  }
  return { path, shape }
}

/** How `fleet.probe.intervalMs` is written as a variable: `CORRAL_FLEET__PROBE__INTERVAL_MS`. */
export function envNameOf(path: Path): string {
  const words = path.map((step) => String(step).replace(/([a-z\d])([A-Z])/g, '$1_$2'))
  return prefix + words.join('__').toUpperCase()
}

function unknownVariable(name: string, origin: Origin): Problem {
  const meant = nearest(name, [nodesName, ...leafPaths().map(envNameOf)])
  return problemAt(origin, `unknown variable${meant === null ? '' : `; did you mean ${meant}?`}`)
}

interface Resolved extends Target {
  /** The value is the name of a file that holds it. */
  readonly readsFile: boolean
}

/** `…_FILE` reads a file for a text key; an existing key that ends in "file" (`CA_FILE`) stays itself. */
function resolve(name: string): Resolved | null {
  const words = name.slice(prefix.length).split('__')
  const isHeader = words.length > 1 && plainWord(words[words.length - 2] ?? '') === 'headers'
  const direct = findTarget(words)
  if (direct !== null && !(isHeader && name.endsWith(fileSuffix))) return { ...direct, readsFile: false }
  if (!name.endsWith(fileSuffix)) return null
  const base = findTarget(name.slice(prefix.length, -fileSuffix.length).split('__'))
  return base !== null && base.shape.kind === 'text' ? { ...base, readsFile: true } : null
}

/** A map is written as OpenTelemetry does: `name=value` with commas between, values percent-encoded. */
function platformValue(path: Path, text: string): unknown {
  const shape = shapeAt(path)
  if (shape?.kind !== 'record') return shape === null ? text : valueFromText(shape, text)
  const pairs = text.split(',').map((pair) => pair.split('='))
  return Object.fromEntries(pairs.map(([name = '', ...value]) => [name.trim().toLowerCase(), decodeLoosely(value.join('=').trim())]))
}

function decodeLoosely(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Assignments of all `CORRAL_…` variables, in the order of their names so that indexes follow their list. */
export function readEnvironment(env: Environment): SourceResult {
  const assignments: Assignment[] = []
  const problems: Problem[] = []
  const warnings: string[] = []
  for (const [name, path] of Object.entries(platformNames)) {
    const text = env[name]
    if (text !== undefined && text !== '') assignments.push(...flatten(path, platformValue(path, text), { kind: 'env', name }))
  }
  for (const name of Object.keys(env).toSorted()) {
    const text = env[name]
    if (text === undefined || !name.startsWith(prefix) || ownNames.has(name) || setByClusters.test(name)) continue
    const origin: Origin = { kind: 'env', name }
    const target = name === nodesName ? findTarget(['fleet', 'nodes']) : resolve(name)
    if (target === null) {
      const problem = unknownVariable(name, origin)
      if (name.includes('__')) problems.push(problem)
      else warnings.push(`env ${name}: ${problem.message}`)
    } else if ('readsFile' in target && target.readsFile) {
      assignments.push({ path: target.path, value: '', origin, fromFile: text })
    } else {
      assignments.push(...flatten(target.path, valueFromText(target.shape, text), origin))
    }
  }
  return { assignments: shortFormFirst(assignments), problems, warnings }
}

/** `CORRAL_NODES` sets the list; variables that address one of its nodes come after it whatever their name. */
function shortFormFirst(assignments: readonly Assignment[]): Assignment[] {
  const isShort = ({ origin }: Assignment): boolean => origin.kind === 'env' && origin.name === nodesName
  return [...assignments.filter(isShort), ...assignments.filter((assignment) => !isShort(assignment))]
}
