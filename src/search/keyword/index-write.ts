/**
 * What a write does to the keyword index, inside its transaction and under the lock on the collection's row: adds a segment, and keeps
 * the tail of small segments short. Its work is bounded by what is written and by `packedPostingsMax`; segments with a row per term are
 * joined in the background (`compact.ts`).
 */
import type { Transaction } from '../../store/database.ts'
import { decodePacked, decodePostings, type Postings } from './codec.ts'
import { joinMaps, joinPostings } from './join.ts'
import type { Owner } from './memory.ts'
import type { BuiltSegment } from './segment.ts'
import { insertSegment, liveSegments, packedPostingsMax, removeSegments, segmentContents, type StoredSegment } from './segments-stored.ts'

/** Packed segments at the end before they are joined. */
const packedRunMax = 8

/** Adds a segment of new chunks, whose numbers are above all others. */
export async function addSegment(transaction: Transaction, owner: Owner, built: BuiltSegment): Promise<void> {
  if (built.map.numbers.length === 0) return
  const tail = packedTail(await liveSegments(transaction, owner))
  const isLarge = built.postings > packedPostingsMax
  // Small segments never stay below a large one, so that the large ones lie side by side for later joins.
  if (isLarge && tail.length > 0) await joinPacked(transaction, owner, { tail, mayPack: false })
  await insertSegment(transaction, owner, { ...built, state: 'live', inputs: null, mayPack: true })
  if (isLarge || tail.length + 1 < packedRunMax) return
  await joinPacked(transaction, owner, { tail: packedTail(await liveSegments(transaction, owner)), mayPack: true })
}

function packedTail(segments: readonly StoredSegment[]): readonly StoredSegment[] {
  return segments.slice(segments.findLastIndex(({ isPacked }) => !isPacked) + 1)
}

/** Replaces packed segments by one without removed chunks; `mayPack` false: with a row per term. */
export async function joinPacked(
  transaction: Transaction,
  owner: Owner,
  { tail, mayPack }: { tail: readonly StoredSegment[]; mayPack: boolean },
): Promise<void> {
  const ids = tail.map(({ id }) => id)
  const inputs = await segmentContents(transaction, owner, ids)
  const join = joinMaps(inputs)
  const parts = new Map<string, { input: number; postings: Postings }[]>()
  for (const [input, { packed }] of inputs.entries()) {
    for (const [term, bytes] of decodePacked(packed ?? Buffer.of(0))) {
      const list = parts.get(term) ?? []
      list.push({ input, postings: decodePostings(bytes) })
      parts.set(term, list)
    }
  }
  const terms = new Map<string, Postings>()
  let postings = 0
  for (const [term, list] of parts) {
    const joined = joinPostings(join, list)
    if (joined === null) continue
    terms.set(term, joined)
    postings += joined.ordinals.length
  }
  await removeSegments(transaction, owner, ids)
  if (join.map.numbers.length > 0) await insertSegment(transaction, owner, { map: join.map, terms, postings, state: 'live', inputs: null, mayPack })
}
