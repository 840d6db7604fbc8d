/**
 * Arrays over all chunks of a collection that a query scores in, used again by later queries: made anew, a megabyte per query, they
 * would cost more in garbage than the scoring itself. Who takes one gives it back with the places it wrote; between two uses it is zero.
 */

export interface Scratch {
  /** Score by place. */
  readonly scores: Float64Array
  /** Room for places. */
  readonly places: Int32Array
}

/** Kept for later; more queries at a time make their own. */
const keptMax = 4
/** Larger ones are not kept. */
const keptPlacesMax = 2_000_000

const kept: Scratch[] = []

/** At least `size` places, all zero. */
export function takeScratch(size: number): Scratch {
  const index = kept.findIndex(({ scores }) => scores.length >= size)
  const [found] = index < 0 ? [] : kept.splice(index, 1)
  if (found !== undefined) return found
  // A little more, as collections grow.
  const room = Math.ceil(size * 1.25) + 1_024
  return { scores: new Float64Array(room), places: new Int32Array(room) }
}

/** Takes `scratch` back; scores were written at `written` only. */
export function giveScratch(scratch: Scratch, written: Int32Array): void {
  for (let index = 0; index < written.length; index += 1) scratch.scores[written[index] ?? 0] = 0
  if (scratch.scores.length > keptPlacesMax) return
  kept.push(scratch)
  if (kept.length <= keptMax) return
  // The smallest goes: the others serve its queries too.
  const smallest = Math.min(...kept.map(({ scores }) => scores.length))
  kept.splice(
    kept.findIndex(({ scores }) => scores.length === smallest),
    1,
  )
}
