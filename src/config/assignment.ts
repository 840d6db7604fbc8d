/**
 * A source of configuration (file, environment, flags) is a list of assignments; applying the sources in order gives the
 * raw tree for zod and the origin of every value. A later assignment to a list or a scalar replaces it whole; sections and
 * records merge key by key, and `[0]` addresses one item of a list that an earlier source gave.
 */
import { type Path, pathText, type Step } from './path.ts'

export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly file: string; readonly line: number; readonly column: number }
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'flag'; readonly name: string }
  | { readonly kind: 'switch'; readonly by: string; readonly atWallMs: number }

export interface Assignment {
  readonly path: Path
  /** A scalar, `[]` or `{}`: what is inside a list or a map comes as assignments of its own. */
  readonly value: unknown
  readonly origin: Origin
  /** Where the key itself stands, when that differs from the value. */
  readonly keyOrigin?: Origin
  /** Set when the value was read from this file (`<key>File`). */
  readonly fromFile?: string
}

/** Where by path text. A key that no source set has no entry. */
export type Origins = ReadonlyMap<string, Origin>

/** `corral.yaml:3:5`, `env CORRAL_NODES`, `flag --port`, `switched at run time by …`, `default`. */
export function originText(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default'
    case 'file':
      return `${origin.file}:${origin.line}:${origin.column}`
    case 'env':
      return `env ${origin.name}`
    case 'flag':
      return `flag ${origin.name}`
    case 'switch':
      return `switched at run time by ${origin.by} at ${new Date(origin.atWallMs).toISOString()}`
  }
}

/** The origin of the value at `path`. */
export function originOf(origins: Origins, path: Path): Origin {
  return origins.get(pathText(path)) ?? { kind: 'default' }
}

/** The place to name in a problem with `path`: its own, else that of the nearest parent that a source set. */
export function placeOf(origins: Origins, path: Path): Origin {
  for (let length = path.length; length > 0; length -= 1) {
    const origin = origins.get(pathText(path.slice(0, length)))
    if (origin !== undefined) return origin
  }
  return { kind: 'default' }
}

type Tree = Record<string, unknown> | unknown[]

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null
}

function readStep(tree: Tree, step: Step): unknown {
  if (Array.isArray(tree)) return typeof step === 'number' ? tree[step] : undefined
  return Object.hasOwn(tree, step) ? tree[String(step)] : undefined
}

/** Own-property write: a key named `__proto__` stays a key. */
function writeStep(tree: Tree, step: Step, value: unknown): void {
  Object.defineProperty(tree, step, { value, writable: true, enumerable: true, configurable: true })
}

export interface Applied {
  readonly tree: Record<string, unknown>
  readonly origins: Map<string, Origin>
  /** Where keys stand, for messages about the key itself. */
  readonly keyOrigins: Map<string, Origin>
}

/** Applies assignments in order, later ones win. */
export function applyAssignments(assignments: readonly Assignment[]): Applied {
  const applied: Applied = { tree: {}, origins: new Map(), keyOrigins: new Map() }
  for (const assignment of assignments) applyOne(applied, assignment)
  return applied
}

function applyOne({ tree, origins, keyOrigins }: Applied, { path, value, origin, keyOrigin }: Assignment): void {
  const last = path[path.length - 1]
  if (last === undefined) return
  let parent: Tree = tree
  for (const [index, step] of path.slice(0, -1).entries()) {
    const existing = readStep(parent, step)
    if (isTree(existing)) {
      parent = existing
      continue
    }
    const made: Tree = typeof path[index + 1] === 'number' ? [] : {}
    writeStep(parent, step, made)
    parent = made
  }
  const text = pathText(path)
  if (keyOrigin !== undefined) keyOrigins.set(text, keyOrigin)
  const merges = isTree(value) && !Array.isArray(value) && isTree(readStep(parent, last))
  if (merges) return
  writeStep(parent, last, value)
  for (const known of origins.keys()) {
    if (known.startsWith(`${text}.`) || known.startsWith(`${text}[`)) origins.delete(known)
  }
  origins.set(text, origin)
}
