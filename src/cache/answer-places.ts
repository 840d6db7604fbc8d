/**
 * Where an answer's own ids and times stand: by their place in its structure, never by how a value looks, so that nothing a model or
 * a client wrote is taken for one. Walks bytes; an answer is never parsed whole.
 */
import type { ByteRange, EnvelopeField } from '../core/envelope.ts'
import { scanArray, scanObject } from '../wire/json-scan.ts'

/** Fields of an object, or of each object of a list, that hold an id or a time, and those that hold more such objects. */
export interface PlaceTree {
  readonly [key: string]: 'id' | 'time' | PlaceTree
}

export interface Places {
  /** Strings with their quotes, in order. */
  readonly ids: readonly ByteRange[]
  /** Strings with their quotes, and numbers, in order. */
  readonly times: readonly ByteRange[]
}

const newline = 0x0a
const openBrace = 0x7b
const dataPrefix = Buffer.from('data: {')
const unlimited = { depthMax: Infinity, keysMax: Infinity }

/** The places of `tree` in an answer of one object, or in each frame of a stream, whose frames have their object on one line. */
export function findPlaces(body: Buffer, form: 'whole' | 'stream', tree: PlaceTree): Places {
  const walk = new Walk(body)
  if (form === 'whole') walk.object(body.indexOf(openBrace), tree)
  else for (let line = 0; line < body.length; line = lineEnd(body, line)) walk.object(frameStart(body, line), tree)
  return walk
}

function lineEnd(body: Buffer, line: number): number {
  const end = body.indexOf(newline, line)
  return end < 0 ? body.length : end + 1
}

/** -1: no object begins with this line. */
function frameStart(body: Buffer, line: number): number {
  if (body[line] === openBrace) return line
  const end = line + dataPrefix.length
  return body.compare(dataPrefix, 0, dataPrefix.length, line, Math.min(end, body.length)) === 0 ? end - 1 : -1
}

class Walk implements Places {
  readonly ids: ByteRange[] = []
  readonly times: ByteRange[] = []
  readonly #body: Buffer

  constructor(body: Buffer) {
    this.#body = body
  }

  object(start: number, tree: PlaceTree): void {
    if (start < 0) return
    let left = Object.keys(tree).length
    scanObject(this.#body, start, unlimited, (key, value) => {
      if (!Object.hasOwn(tree, key)) return true
      this.#field(value, tree[key])
      left -= 1
      // What a model wrote stands behind most of them, and need not be looked through.
      return left > 0
    })
  }

  #field(value: EnvelopeField, place: PlaceTree[string] | undefined): void {
    if (place === 'id') {
      if (value.kind === 'string') this.ids.push(value)
    } else if (place === 'time') {
      if (value.kind === 'string' || value.kind === 'number') this.times.push(value)
    } else if (place !== undefined) this.#inside(value, place)
  }

  #inside(value: EnvelopeField, tree: PlaceTree): void {
    if (value.kind === 'object') this.object(value.start, tree)
    else if (value.kind === 'array')
      scanArray(this.#body, value.start, Infinity, (item) => {
        if (item.kind === 'object') this.object(item.start, tree)
        return true
      })
  }
}
