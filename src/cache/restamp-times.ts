/**
 * Makes the times in a stored answer those of its replay. All of an answer's frames get one time, since they go out at once; each keeps
 * its length and so its number of digits. Only the first time of a line counts: an answer's own stands before anything that a model
 * wrote, such as a tool call's argument of the same name.
 */

const newline = 0x0a
const quote = 0x22
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/
const unixSeconds = /^\d{10}$/
/** Of an RFC 3339 time with nanoseconds, and its `Z`. */
const lengthMax = 30

/** Where times stand in a body. Typed arrays: a long stream has one in each of its hundreds of frames. */
export interface TimePlaces {
  readonly at: Uint32Array
  /** Characters; of Unix seconds always ten. */
  readonly lengths: Uint8Array
}

/** The times under one of `keys` in an answer: RFC 3339 in UTC, or Unix seconds. */
export function findTimes(body: Buffer, keys: readonly string[]): TimePlaces {
  const places: (readonly [at: number, length: number])[] = []
  for (const key of keys) {
    const mark = Buffer.from(`"${key}":`)
    for (let at = body.indexOf(mark); at >= 0; at = body.indexOf(mark, nextLine(body, at))) {
      const start = at + mark.length
      const place = body[start] === quote ? start + 1 : start
      const text = timeAt(body, place)
      if (text !== null) places.push([place, text.length])
    }
  }
  return { at: Uint32Array.from(places, ([at]) => at), lengths: Uint8Array.from(places, ([, length]) => length) }
}

function nextLine(body: Buffer, from: number): number {
  const end = body.indexOf(newline, from)
  return end < 0 ? body.length : end + 1
}

/** Null: no time that could be replaced by one of its length. */
function timeAt(body: Buffer, start: number): string | null {
  const text = /^[^",}\]]*/.exec(body.latin1Slice(start, Math.min(body.length, start + lengthMax + 1)))?.[0] ?? ''
  return rfc3339.test(text) || unixSeconds.test(text) ? text : null
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
