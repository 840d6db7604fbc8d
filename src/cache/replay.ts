/**
 * From a stored entry to an answer: at once, in one write as fast as the socket takes it, or paced like the stream that was
 * stored (each gap at most `gapMsMax`). Nothing is generated for it, so its usage is booked as cached.
 */
import { ByteQueue } from '../base/byte-queue.ts'
import type { Clock } from '../base/clock.ts'
import type { ByteRange } from '../core/envelope.ts'
import type { Answer, InferenceRequest, Outcome, Provenance } from '../core/relay.ts'
import { createRenamer } from '../wire/model-in-answer.ts'
import { findPlaces } from './answer-places.ts'
import type { CachedAnswer } from './entry.ts'
import { type TimePlaces, timesAt, writeTimes } from './restamp-times.ts'
import { findUsageFrame, groupIds, type IdPlaces, without, writeIds } from './restamp.ts'
import { type RouteShape, wantsUsage } from './route-shape.ts'

/** A paced replay waits no longer than this between two chunks. */
const gapMsMax = 5

export interface ReplayOptions {
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly paced: boolean
  /** Whether ids and times are the replay's own, not those of the first answer. */
  readonly fresh: boolean
}

export interface Replayed {
  /** The buffer that `answer` was read from. */
  readonly entry: Buffer
  readonly answer: CachedAnswer
  readonly shape: RouteShape
  readonly request: InferenceRequest
  readonly headers: Answer['headers']
}

/** The answer to `request` out of an entry of its form. */
export function replay(replayed: Replayed, options: ReplayOptions): Answer {
  const { answer, headers } = replayed
  const body = restamped(replayed, options)
  const nowMs = options.clock.nowMs()
  const provenance: Provenance = { node: null, reason: 'cache', attempts: 0, dispatchedAtMs: nowMs, cache: 'hit' }
  const outcome: Outcome = { kind: 'ok', usage: answer.usage, frames: answer.frames, bytes: body.length, error: null, cached: true }
  const head = { status: answer.status, headers, provenance }
  if (answer.form === 'whole') return { kind: 'whole', ...head, body, outcome }
  // Changed bodies have other lengths than their table says.
  if (options.paced && body.length === answer.body.length)
    return { kind: 'stream', ...head, ...pacedFrames({ ...answer, body }, options.clock, outcome) }
  const frames = new ByteQueue(body.length)
  frames.push(body)
  frames.end()
  return { kind: 'stream', ...head, frames, outcome: Promise.resolve(outcome) }
}

/** What is looked for in an entry, found once and remembered as long as the entry is. */
interface Marks {
  readonly ids: readonly IdPlaces[]
  readonly times: TimePlaces
  readonly usageFrame: ByteRange | null
}

const marksByEntry = new WeakMap<Buffer, Marks>()

function marksOf({ entry, answer, shape }: Replayed): Marks {
  let marks = marksByEntry.get(entry)
  if (marks === undefined) {
    const { body, form } = answer
    const { ids, times } = findPlaces(body, form, shape.places)
    marks = {
      ids: groupIds(body, ids, shape.idPrefixes),
      times: timesAt(body, times),
      usageFrame: form === 'stream' && shape.usage === 'frame' ? findUsageFrame(body) : null,
    }
    marksByEntry.set(entry, marks)
  }
  return marks
}

function restamped(replayed: Replayed, { fresh, random, clock }: ReplayOptions): Buffer {
  const { answer, request } = replayed
  const { ids, times, usageFrame } = marksOf(replayed)
  let { body } = answer
  if (fresh && (ids.length > 0 || times.at.length > 0)) {
    body = Buffer.allocUnsafe(body.length)
    answer.body.copy(body)
    writeIds(body, ids, random)
    writeTimes(body, times, clock.wallMs())
  }
  if (usageFrame !== null && !wantsUsage(request)) body = without(body, usageFrame)
  const model = request.envelope.model ?? answer.model
  return model === answer.model ? body : createRenamer({ key: 'model', from: answer.model, to: model })(body)
}

function pacedFrames(
  { body, chunks }: CachedAnswer,
  clock: Clock,
  outcome: Outcome,
): { readonly frames: ByteQueue; readonly outcome: Promise<Outcome> } {
  const frames = new ByteQueue(body.length)
  return {
    frames,
    outcome: new Promise((resolve) => {
      let index = 0
      let at = 0
      const step = (): void => {
        if (!frames.open) return resolve({ ...outcome, kind: 'client_gone', bytes: at })
        // Chunks that were no further apart than a timer can tell go out together.
        let end = at
        do {
          end += chunks.lengthAt(index)
          index += 1
        } while (index < chunks.count && chunks.gapMsAt(index) < 1)
        frames.push(body.subarray(at, end))
        at = end
        if (index < chunks.count) return void clock.after(Math.min(gapMsMax, chunks.gapMsAt(index)), step)
        frames.end()
        return resolve(outcome)
      }
      step()
    }),
  }
}
