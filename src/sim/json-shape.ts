/**
 * Decodes a request body as Go decodes it into a struct: keys match without regard to case (with Unicode folding), the
 * last one wins, unknown keys are dropped, `null` means absent, and the first value of a wrong type is the error.
 */
import { isObject, type JsonObject, type JsonValue } from './json-value.ts'
import { scanJson } from './json-scan.ts'

export type Shape =
  | 'string'
  | 'bool'
  | 'int'
  | 'float64'
  | 'any'
  | { readonly list: Shape; readonly type: string }
  | { readonly map: Shape; readonly type: string }
  | { readonly fields: Readonly<Record<string, Shape>>; readonly type: string }
  | { readonly check: (value: JsonValue) => string | null }

export type Decoded = { readonly value: JsonObject } | { readonly error: string; readonly empty: boolean }

class ShapeError extends Error {}

function fold(key: string): string {
  return key.toLowerCase().replaceAll('\u017f', 's').replaceAll('\u212a', 'k')
}

function kindOf(value: JsonValue): string {
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'boolean') return 'bool'
  return typeof value
}

function typeName(shape: Shape): string {
  if (typeof shape === 'string') return shape
  return 'type' in shape ? shape.type : 'value'
}

class Decoder {
  readonly #root: string
  #error: string | null = null
  constructor(root: string) {
    this.#root = root
  }

  get error(): string | null {
    return this.#error
  }

  decode(value: JsonValue, shape: Shape, path: string): JsonValue | undefined {
    if (value === null) return undefined
    if (shape === 'any') return value
    if (typeof shape === 'string') return this.#scalar(value, shape, path)
    if ('check' in shape) {
      const problem = shape.check(value)
      if (problem !== null) throw new ShapeError(problem)
      return value
    }
    if ('list' in shape) return Array.isArray(value) ? this.#list(value, shape, path) : this.#mismatch(value, shape, path)
    if (!isObject(value)) return this.#mismatch(value, shape, path)
    return 'map' in shape ? this.#map(value, shape.map, path) : this.#fields(value, shape.fields, path)
  }

  #list(value: JsonValue[], shape: { list: Shape }, path: string): JsonValue {
    return value.map((item) => this.decode(item, shape.list, path) ?? null)
  }

  #map(value: JsonObject, item: Shape, path: string): JsonValue {
    const result: JsonObject = {}
    for (const [key, one] of Object.entries(value)) result[key] = this.decode(one ?? null, item, path) ?? null
    return result
  }

  #fields(value: JsonObject, fields: Readonly<Record<string, Shape>>, path: string): JsonValue {
    const result: JsonObject = {}
    for (const [key, one] of Object.entries(value)) {
      const name = key in fields ? key : fold(key)
      const shape = fields[name]
      if (shape === undefined || one === undefined) continue
      const decoded = this.decode(one, shape, path === '' ? name : `${path}.${name}`)
      if (decoded !== undefined) result[name] = decoded
    }
    return result
  }

  #scalar(value: JsonValue, shape: 'string' | 'bool' | 'int' | 'float64', path: string): JsonValue | undefined {
    const wanted = shape === 'string' ? 'string' : shape === 'bool' ? 'boolean' : 'number'
    if (typeof value !== wanted) return this.#mismatch(value, shape, path)
    if (shape === 'int' && !Number.isInteger(value)) {
      this.#error ??= this.#sentence(`number ${JSON.stringify(value)}`, shape, path)
      return undefined
    }
    return value
  }

  #mismatch(value: JsonValue, shape: Shape, path: string): undefined {
    this.#error ??= this.#sentence(kindOf(value), shape, path)
    return undefined
  }

  #sentence(kind: string, shape: Shape, path: string): string {
    const name = this.#root.replace(/^.*\./, '')
    const place = path === '' ? 'value' : `struct field ${name}.${path}`
    return `json: cannot unmarshal ${kind} into Go ${place} of type ${typeName(shape)}`
  }
}

/** Decodes `bytes`; `empty` tells an empty body apart, which routes word differently. */
export function decodeBody(bytes: Buffer, shape: { readonly fields: Readonly<Record<string, Shape>>; readonly type: string }): Decoded {
  let value: JsonValue
  try {
    value = JSON.parse(bytes.toString('utf8'))
    if (bytes[0] === 0xef) throw new SyntaxError('byte order mark')
  } catch {
    if (bytes.toString('latin1').trim() === '') return { error: 'EOF', empty: true }
    const scan = scanJson(bytes)
    if ('error' in scan) return { error: scan.error, empty: false }
    value = JSON.parse(bytes.subarray(0, scan.end).toString('utf8'))
  }
  const decoder = new Decoder(shape.type)
  try {
    const decoded = decoder.decode(value, shape, '')
    if (decoder.error !== null) return { error: decoder.error, empty: false }
    return { value: isObject(decoded) ? decoded : {} }
  } catch (error) {
    if (error instanceof ShapeError) return { error: error.message, empty: false }
    throw error
  }
}
