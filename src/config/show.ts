/** The effective configuration for people and machines: every value with its origin, credentials masked. */
import { createHash } from 'node:crypto'

import { originOf, type Origins, originText } from './assignment.ts'
import { isSecret } from './key-tree.ts'
import { type Path, pathText } from './path.ts'
import type { Config } from './schema.ts'

export const secretText = '[secret]'
const hashDigits = 12

export interface ShownValue {
  readonly key: string
  readonly value: unknown
  readonly origin: string
}

/** A URL without its user and password. */
export function maskUrl(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, `$1${secretText}@`)
}

/** A copy of `value` with every secret masked. */
export function masked(value: unknown, path: Path = []): unknown {
  if (isSecret(path)) return secretText
  if (Array.isArray(value)) return value.map((item: unknown, index) => masked(item, [...path, index]))
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? maskUrl(value) : value
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, masked(child, [...path, key])]))
}

/** A name for what is in force: equal values have equal ones, whatever their secrets are. */
export function configHash(config: Config): string {
  return createHash('sha256')
    .update(JSON.stringify(masked(config)))
    .digest('hex')
    .slice(0, hashDigits)
}

/** Calls `visit` for every value; a list of scalars and an empty map count as one value. */
export function walkValues(value: unknown, visit: (path: Path, value: unknown) => void, path: Path = []): void {
  const children = typeof value === 'object' && value !== null ? Object.entries(value) : []
  const isScalarList = Array.isArray(value) && value.every((item) => typeof item !== 'object')
  if (children.length === 0 || isScalarList) {
    visit(path, value)
    return
  }
  for (const [key, child] of children) walkValues(child, visit, [...path, Array.isArray(value) ? Number(key) : key])
}

/** Every value with its key and where it came from, in the order of the schema. */
export function shownValues(config: Config, origins: Origins): readonly ShownValue[] {
  const values: ShownValue[] = []
  walkValues(config, (path, value) => {
    values.push({ key: pathText(path), value: masked(value, path), origin: originText(originOf(origins, path)) })
  })
  return values
}
