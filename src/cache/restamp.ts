/**
 * Makes a stored answer one of its own: fresh ids where the answer has its own (`answer-places.ts`), and usage as asked for. It works
 * on bytes; the frame it looks for has bare quotes and so cannot stand inside a text. Ids keep their length.
 */
import type { ByteRange } from '../core/envelope.ts'

const digits = '0123456789'
const hexDigits = '0123456789abcdef'
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** An id and where its part behind the prefix begins, each time it stands in the body. */
export interface IdPlaces {
  readonly tail: string
  readonly at: readonly number[]
}

/** The ids at `ranges` that begin with one of `prefixes`: each once, with all its places. */
export function groupIds(body: Buffer, ranges: readonly ByteRange[], prefixes: readonly string[]): readonly IdPlaces[] {
  const found = new Map<string, { readonly tail: string; readonly at: number[] }>()
  for (const { start, end } of ranges) {
    const id = body.latin1Slice(start + 1, end - 1)
    const prefix = prefixes.find((text) => id.startsWith(text))
    if (prefix === undefined || !/^[\w-]+$/.test(id)) continue
    let places = found.get(id)
    if (places === undefined) {
      places = { tail: id.slice(prefix.length), at: [] }
      found.set(id, places)
    }
    places.at.push(start + 1 + prefix.length)
  }
  return [...found.values()]
}

/** Makes each id in `body`, which nobody else has, a new one, the same everywhere. */
export function writeIds(body: Buffer, ids: readonly IdPlaces[], random: () => number): void {
  for (const { tail, at } of ids) {
    const fresh = freshTail(tail, random)
    for (const place of at) for (let index = 0; index < fresh.length; index += 1) body[place + index] = fresh[index] ?? 0
  }
}

/** Characters of the same kind as those of `tail`. */
function freshTail(tail: string, random: () => number): readonly number[] {
  const alphabet = /^\d+$/.test(tail) ? digits : /^[0-9a-f]+$/.test(tail) ? hexDigits : letters
  const fresh: number[] = []
  for (const character of tail) {
    const kept = character === '_' || character === '-'
    fresh.push(kept ? character.charCodeAt(0) : alphabet.charCodeAt(Math.floor(random() * alphabet.length)))
  }
  return fresh
}

const usageMark = Buffer.from('"choices":[],')
const frameEnd = Buffer.from('\n\n')
const dataStart = Buffer.from('data: {')

/** Where the frame stands that only carries usage; null when there is none. */
export function findUsageFrame(frames: Buffer): ByteRange | null {
  const at = frames.indexOf(usageMark)
  if (at < 0) return null
  const start = frames.lastIndexOf(dataStart, at)
  const end = frames.indexOf(frameEnd, at)
  return start < 0 || end < 0 ? null : { start, end: end + frameEnd.length }
}

/** Whole frames without the bytes at `range`. */
export function without(frames: Buffer, range: ByteRange | null): Buffer {
  return range === null ? frames : Buffer.concat([frames.subarray(0, range.start), frames.subarray(range.end)])
}
