/**
 * Makes the times in a stored answer those of its replay. All of an answer's frames get one time, since they go out at once; each keeps
 * its length and so its number of digits.
 */
import type { ByteRange } from '../core/envelope.ts'

const quote = 0x22
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/
const unixSeconds = /^\d{10}$/

/** Where times stand in a body. Typed arrays: a long stream has one in each of its hundreds of frames. */
export interface TimePlaces {
  readonly at: Uint32Array
  /** Characters; of Unix seconds always ten. */
  readonly lengths: Uint8Array
}

/** Those of `ranges` that hold a time which can be replaced: RFC 3339 in UTC, or Unix seconds. */
export function timesAt(body: Buffer, ranges: readonly ByteRange[]): TimePlaces {
  const places: (readonly [at: number, length: number])[] = []
  for (const { start, end } of ranges) {
    const quotes = body[start] === quote ? 1 : 0
    const text = body.latin1Slice(start + quotes, end - quotes)
    if (rfc3339.test(text) || unixSeconds.test(text)) places.push([start + quotes, text.length])
  }
  return { at: Uint32Array.from(places, ([at]) => at), lengths: Uint8Array.from(places, ([, length]) => length) }
}

/** Writes `wallMs` at all places of `body`, which nobody else has. */
export function writeTimes(body: Buffer, { at, lengths }: TimePlaces, wallMs: number): void {
  const time = `${new Date(wallMs).toISOString().slice(0, -1)}000000`
  const seconds = String(Math.floor(wallMs / 1_000))
  for (let index = 0; index < at.length; index += 1) {
    const start = at[index] ?? 0
    const length = lengths[index] ?? 0
    // The `Z` stays.
    if (length === seconds.length) body.write(seconds, start, length, 'latin1')
    else body.write(time, start, length - 1, 'latin1')
  }
}
