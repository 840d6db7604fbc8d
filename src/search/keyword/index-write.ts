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

/** Packed segments of one level at the end before they are joined. */
const packedRunMax = 8
/** About a short document. */
const smallestLevelPostings = 250

/** Adds a segment of new chunks, whose numbers are above all others. */
export async function addSegment(transaction: Transaction, owner: Owner, built: BuiltSegment): Promise<void> {
  if (built.map.numbers.length === 0) return
  const tail = packedTail(await liveSegments(transaction, owner))
  const isLarge = built.postings > packedPostingsMax
  // Small segments never stay below a large one, so that the large ones lie side by side for later joins.
  if (isLarge && tail.length > 0) await joinPacked(transaction, owner, { tail, mayPack: false })
  await insertSegment(transaction, owner, { ...built, state: 'live', inputs: null, mayPack: true })
  if (isLarge) return
  const run = runToJoin(packedTail(await liveSegments(transaction, owner)))
  if (run.length > 0) await joinPacked(transaction, owner, { tail: run, mayPack: true })
}

/** The latest segments of about the same size, when they are many: so each posting is written anew once per level only. */
export function runToJoin(tail: readonly StoredSegment[]): readonly StoredSegment[] {
  for (let level = 0; level <= levelOf(packedPostingsMax); level += 1) {
    const run = tail.slice(tail.findLastIndex(({ postings }) => levelOf(postings) > level) + 1)
    if (run.length >= packedRunMax) return run
  }
  return []
}

/** Sizes apart by less than eight times are on one level. */
function levelOf(postings: number): number {
  return Math.max(0, Math.floor(Math.log2(postings / smallestLevelPostings) / 3))
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
  if (join.map.numbers.length > 0)
    await insertSegment(transaction, owner, { map: join.map, terms, postings, state: 'live', inputs: null, mayPack })
}
