/**
 * What keys exist, read from the zod schema: the sources use it to match names of environment variables, to know how a
 * text is to be read, and to find `<key>File`. It knows shapes only; whether a value is valid is zod's business.
 */
import { z } from 'zod'

import type { Path, Step } from './path.ts'
import { configSchema } from './schema.ts'

export type KeyShape =
  | { readonly kind: 'section'; readonly keys: ReadonlyMap<string, KeyShape> }
  | { readonly kind: 'record'; readonly value: KeyShape }
  | { readonly kind: 'list'; readonly item: KeyShape }
  | { readonly kind: 'text' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'number' }
  /** A number, or a text with a unit. */
  | { readonly kind: 'quantity' }

function shapeOf(schema: unknown): KeyShape {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable
  ) {
    return shapeOf(schema.unwrap())
  }
  if (schema instanceof z.ZodPipe) return shapeOf(schema.in)
  if (schema instanceof z.ZodObject) {
    return { kind: 'section', keys: new Map(Object.entries(schema.shape).map(([key, child]) => [key, shapeOf(child)])) }
  }
  if (schema instanceof z.ZodRecord) return { kind: 'record', value: shapeOf(schema.valueType) }
  if (schema instanceof z.ZodArray) return { kind: 'list', item: shapeOf(schema.element) }
  if (schema instanceof z.ZodBoolean) return { kind: 'boolean' }
  if (schema instanceof z.ZodNumber) return { kind: 'number' }
  if (schema instanceof z.ZodUnion) return { kind: 'quantity' }
  return { kind: 'text' }
}

/** The shape of the whole configuration. */
export const rootShape: KeyShape = shapeOf(configSchema)

/** The shape below `shape` at `step`; null when there is none. */
export function childShape(shape: KeyShape, step: Step): KeyShape | null {
  if (shape.kind === 'section') return shape.keys.get(String(step)) ?? null
  if (shape.kind === 'record') return shape.value
  if (shape.kind === 'list') return typeof step === 'number' ? shape.item : null
  return null
}

/** The shape at `path`; null when the schema knows no such key. */
export function shapeAt(path: Path): KeyShape | null {
  let shape: KeyShape | null = rootShape
  for (const step of path) {
    if (shape === null) return null
    shape = childShape(shape, step)
  }
  return shape
}

/** Every key with a value of its own, as steps; lists and records count as one key. */
export function leafPaths(shape: KeyShape = rootShape, path: Path = []): Path[] {
  if (shape.kind !== 'section') return [path]
  return [...shape.keys].flatMap(([key, child]) => leafPaths(child, [...path, key]))
}

/** Values that no output may show: headers of nodes, and every key named like a credential. */
export function isSecret(path: Path): boolean {
  if (path[path.length - 2] === 'headers') return true
  // An item of a list is as secret as the list.
  const named = path.findLast((step) => typeof step === 'string') ?? ''
  return /(secrets?|password|token|apikey)$/i.test(named)
}
