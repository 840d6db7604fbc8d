/**
 * Makes a stored answer one of its own: fresh ids, and usage as asked for. It works on bytes;
 * what it looks for has bare quotes and so cannot stand inside a text. Ids keep their length.
 */
import type { ByteRange } from '../core/envelope.ts'

const quote = 0x22
/** Ids stand near the beginning of an answer; of a stream, in its first frames. */
const idSearchBytes = 4_096
const digits = '0123456789'
const hexDigits = '0123456789abcdef'
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** An id and where its part behind the prefix begins, each time it stands in the body. */
export interface IdPlaces {
  readonly tail: string
  readonly at: readonly number[]
}

/** Ids with one of `prefixes` in an answer, with all their places. */
export function findIds(body: Buffer, prefixes: readonly string[]): readonly IdPlaces[] {
  const found: IdPlaces[] = []
  for (const prefix of prefixes) {
    const opening = Buffer.from(`"${prefix}`)
    const known = new Set<string>()
    for (let at = body.indexOf(opening); at >= 0 && (known.size === 0 || at < idSearchBytes); at = body.indexOf(opening, at + 1)) {
      const end = body.indexOf(quote, at + 1)
      if (end < 0) break
      const id = body.latin1Slice(at + 1, end)
      if (known.has(id) || !/^[\w-]+$/.test(id)) continue
      known.add(id)
      found.push({ tail: id.slice(prefix.length), at: placesOf(body, `"${id}"`).map((place) => place + opening.length) })
    }
  }
  return found
}

function placesOf(body: Buffer, text: string): readonly number[] {
  const wanted = Buffer.from(text, 'latin1')
  const places: number[] = []
  for (let at = body.indexOf(wanted); at >= 0; at = body.indexOf(wanted, at + wanted.length)) places.push(at)
  return places
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
