/**
 * Joins segments to one without their removed chunks. Segments do not overlap in numbers, so the postings of a term are those of each
 * input one after the other, with ordinals moved; order and differences stay ascending by construction.
 */
import { type ChunkMap, chunkMap, type Postings } from './codec.ts'

export interface JoinInput {
  readonly map: ChunkMap
  readonly dead: Int32Array
}

export interface Join {
  readonly map: ChunkMap
  /** By input: the new ordinal of each old one, -1 for a removed chunk. */
  readonly moves: readonly Int32Array[]
}

/** Inputs come by their numbers, ascending. */
export function joinMaps(inputs: readonly JoinInput[]): Join {
  const numbers: number[] = []
  const lengths: number[] = []
  const moves = inputs.map(({ map, dead }) => {
    const gone = new Set(dead)
    return map.numbers.map((number, ordinal) => {
      if (gone.has(number)) return -1
      lengths.push(map.lengths[ordinal] ?? 0)
      return numbers.push(number) - 1
    })
  })
  return { map: chunkMap(Int32Array.from(numbers), Int32Array.from(lengths)), moves }
}

/** One term's postings in the joined segment; null when no live chunk has it. `parts`: by place of the input. */
export function joinPostings(join: Join, parts: readonly { readonly input: number; readonly postings: Postings }[]): Postings | null {
  const ordinals: number[] = []
  const frequencies: number[] = []
  for (const { input, postings } of parts) {
    const moves = join.moves[input]
    if (moves === undefined) throw new Error(`no input ${input} in a join of ${join.moves.length}`)
    for (const [index, ordinal] of postings.ordinals.entries()) {
      const moved = moves[ordinal]
      if (moved === undefined) throw new Error(`ordinal ${ordinal} in a segment of ${moves.length} chunks`)
      if (moved < 0) continue
      ordinals.push(moved)
      frequencies.push(postings.frequencies[index] ?? 1)
    }
  }
  return ordinals.length === 0 ? null : { ordinals: Int32Array.from(ordinals), frequencies: Uint16Array.from(frequencies) }
}
