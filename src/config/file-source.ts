/**
 * The YAML file as assignments that know line and column. It is read with the plain YAML 1.2 core schema: no merge keys,
 * no custom tags, no interpolation, at most 100 alias uses, 1 MiB.
 */
import { readFileSync, statSync } from 'node:fs'

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'

import type { Assignment, Origin } from './assignment.ts'
import type { Path } from './path.ts'
import type { Problem } from './problem.ts'

const fileBytesMax = 1_048_576
const depthMax = 32
const aliasesMax = 100

export interface SourceResult {
  readonly assignments: readonly Assignment[]
  readonly problems: readonly Problem[]
  readonly warnings: readonly string[]
}

interface Walk {
  readonly document: Document
  readonly place: (offset: number | undefined) => Origin
  readonly assignments: Assignment[]
  readonly problems: Problem[]
  aliases: number
}

/** Reads `file`; `shownAs` is its name in messages. */
export function readConfigFile(file: string, shownAs: string): SourceResult {
  try {
    const { size } = statSync(file)
    if (size > fileBytesMax) return failed(`the file has ${size} bytes, at most ${fileBytesMax} are read`, shownAs)
    return readYaml(readFileSync(file, 'utf8'), shownAs)
  } catch (error) {
    return failed(`cannot read the file: ${error instanceof Error ? error.message : String(error)}`, shownAs)
  }
}

function failed(message: string, where: string): SourceResult {
  return { assignments: [], problems: [{ message, where }], warnings: [] }
}

/** Reads YAML text. */
export function readYaml(text: string, shownAs: string): SourceResult {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, prettyErrors: false, schema: 'core', customTags: [] })
  const place = (offset: number | undefined): Origin => {
    const { line, col } = lineCounter.linePos(offset ?? 0)
    return { kind: 'file', file: shownAs, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const problems = document.errors.map((error) => {
    const { line, col } = lineCounter.linePos(error.pos[0])
    return { message: `no valid YAML: ${error.message}`, where: `${shownAs}:${line}:${col}` }
  })
  if (problems.length > 0) return { assignments: [], problems, warnings: [] }
  const walk: Walk = { document, place, assignments: [], problems: [], aliases: 0 }
  const root: unknown = document.contents
  if (root !== null && !isMap(root) && !(isScalar(root) && root.value === null)) {
    return failed('expected a map of sections such as fleet: and http:', `${shownAs}:1:1`)
  }
  if (isMap(root)) visit(walk, { path: [], node: root })
  return {
    assignments: walk.assignments,
    problems: walk.problems,
    warnings: document.warnings.map((warning) => `${shownAs}: ${warning.message}`),
  }
}

function offsetOf(node: unknown): number | undefined {
  if (isMap(node) || isSeq(node) || isScalar(node) || isAlias(node)) return node.range?.[0]
  return undefined
}

function refuse(walk: Walk, node: unknown, message: string): void {
  const origin = walk.place(offsetOf(node))
  walk.problems.push({ message, where: origin.kind === 'file' ? `${origin.file}:${origin.line}:${origin.column}` : '' })
}

interface Spot {
  readonly path: Path
  readonly node: unknown
  readonly keyOrigin?: Origin
}

function visit(walk: Walk, spot: Spot): void {
  const { path, node, keyOrigin } = spot
  const origin = walk.place(offsetOf(node))
  const own = keyOrigin === undefined ? { origin } : { origin, keyOrigin }
  if (path.length > depthMax) {
    refuse(walk, node, `nested more than ${depthMax} deep`)
    return
  }
  if (isAlias(node)) {
    visitAlias(walk, spot)
  } else if (isMap(node)) {
    if (path.length > 0) walk.assignments.push({ path, value: {}, ...own })
    for (const pair of node.items) visitPair(walk, path, pair)
  } else if (isSeq(node)) {
    walk.assignments.push({ path, value: [], ...own })
    for (const [index, item] of node.items.entries()) visit(walk, { path: [...path, index], node: item })
  } else {
    const value: unknown = isScalar(node) ? node.value : null
    // An empty section (`fleet:` with nothing below) means "nothing set here".
    if (value !== null) walk.assignments.push({ path, value, ...own })
  }
}

function visitAlias(walk: Walk, spot: Spot): void {
  const { node } = spot
  walk.aliases += 1
  if (walk.aliases > aliasesMax) {
    if (walk.aliases === aliasesMax + 1) refuse(walk, node, `more than ${aliasesMax} aliases`)
    return
  }
  if (isAlias(node)) visit(walk, { ...spot, node: node.resolve(walk.document) })
}

function visitPair(walk: Walk, path: Path, { key, value }: { key: unknown; value: unknown }): void {
  const name: unknown = isScalar(key) ? key.value : null
  if (typeof name !== 'string' && typeof name !== 'number') {
    refuse(walk, key, 'a key has to be a plain text')
    return
  }
  visit(walk, { path: [...path, String(name)], node: value, keyOrigin: walk.place(offsetOf(key)) })
}
