// Files on their way from the console: a few at a time, each with its bytes; refused and cancelled ones stop no other.
import { expect, test } from 'vitest'

import { cancelUploads, type Progress, UploadQueue } from '../../src/console/upload-queue.ts'
import { manualClock } from '../fleet/manual-clock.ts'

interface Call {
  readonly path: string
  readonly onSent: (bytes: number) => void
  readonly signal: AbortSignal
  end(error?: Error): Promise<void>
}

/** The gateway asks for so much patience. */
class Busy extends Error {
  readonly waitMs: number
  constructor(waitMs: number) {
    super('busy')
    this.waitMs = waitMs
  }
}
const attemptsMax = 3

/** A queue whose uploads end when the test says so. */
function startQueue() {
  const calls: Call[] = []
  const shown: Progress[] = []
  const clock = manualClock(0)
  let ended = 0
  const queue = new UploadQueue({
    upload: ({ path }, { onSent, signal }) =>
      new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new DOMException('stopped', 'AbortError')))
        const end = async (error?: Error): Promise<void> => {
          if (error === undefined) resolve()
          else reject(error)
          await settled()
        }
        calls.push({ path, onSent, signal, end })
      }),
    onChange: (progress) => void shown.push(progress),
    onEnded: () => void (ended += 1),
    waitAfter: (error, attempt) => (error instanceof Busy && attempt < attemptsMax ? error.waitMs : null),
    clock,
  })
  return { queue, calls, clock, now: () => shown.at(-1), ended: () => ended }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))
const fileOf = (path: string, bytes = 10) => ({ path, file: new Blob(['x'.repeat(bytes)]) })
const pathsOf = (progress: Progress | undefined) => progress?.going.map(({ path }) => path)

test('three go at once, the others in their order, and bytes count what has gone out', async () => {
  const { queue, calls, now, ended } = startQueue()
  queue.add(['a', 'b', 'c', 'd'].map((path) => fileOf(path)))
  expect(pathsOf(now())).toEqual(['a', 'b', 'c'])
  calls[0]?.onSent(4)
  calls[1]?.onSent(10)
  expect(now()).toMatchObject({ files: 4, bytes: 40, sentBytes: 14, endedFiles: 0 })
  await calls[1]?.end()
  expect([pathsOf(now()), now()?.sentBytes, now()?.endedFiles, ended()]).toEqual([['a', 'c', 'd'], 14, 1, 1])
  for (const call of calls) await call.end()
  expect(now()).toMatchObject({ files: 4, bytes: 40, sentBytes: 40, endedFiles: 4, cancelled: 0, going: [], refused: [] })
})

test('a refused file is kept with why, and a cancelled one leaves the sums', async () => {
  const { queue, calls, now } = startQueue()
  queue.add([fileOf('a'), fileOf('b', 1_000), fileOf('c')])
  const refusal = new Error('too large')
  await calls[0]?.end(refusal)
  calls[1]?.onSent(400)
  queue.cancel(now()?.going[0]?.id ?? 0)
  await settled()
  expect(calls[1]?.signal.aborted).toBe(true)
  await calls[2]?.end()
  expect(now()).toEqual({
    files: 3,
    bytes: 20,
    sentBytes: 20,
    endedFiles: 3,
    cancelled: 1,
    going: [],
    pause: null,
    refused: [{ path: 'a', error: refusal }],
  })
})

test('all can be cancelled, those that wait too', async () => {
  const { queue, calls, now } = startQueue()
  queue.add(['a', 'b', 'c', 'd', 'e'].map((path) => fileOf(path)))
  await calls[0]?.end()
  queue.cancelAll()
  await settled()
  expect(calls.map(({ path }) => path)).toEqual(['a', 'b', 'c', 'd'])
  expect(now()).toMatchObject({ files: 5, endedFiles: 5, cancelled: 4, bytes: 10, sentBytes: 10, going: [] })
})

test('the end of a session cancels the files of every queue, and what is given afterwards goes out', async () => {
  const [one, other] = [startQueue(), startQueue()]
  one.queue.add(['a', 'b', 'c', 'd'].map((path) => fileOf(path)))
  other.queue.add([fileOf('e')])
  cancelUploads()
  await settled()
  expect([...one.calls, ...other.calls].map(({ path, signal }) => [path, signal.aborted])).toEqual(
    ['a', 'b', 'c', 'e'].map((path) => [path, true]),
  )
  expect([one.now()?.cancelled, other.now()?.cancelled, pathsOf(one.now())]).toEqual([4, 1, []])
  other.queue.add([fileOf('f')])
  await other.calls.at(-1)?.end()
  expect(other.now()).toMatchObject({ files: 1, endedFiles: 1, cancelled: 0 })
})

test('what is given meanwhile is added, and what is given afterwards counts anew', async () => {
  const { queue, calls, now } = startQueue()
  queue.add([fileOf('a')])
  queue.add([fileOf('b')])
  expect(now()).toMatchObject({ files: 2, bytes: 20 })
  for (const call of calls) await call.end()
  queue.add([fileOf('c', 5)])
  expect(now()).toMatchObject({ files: 1, bytes: 5, endedFiles: 0, sentBytes: 0 })
})

test('more than the size of the file, as a browser counts it, is no more than the file', () => {
  const { queue, calls, now } = startQueue()
  queue.add([fileOf('a')])
  calls[0]?.onSent(15)
  expect(now()).toMatchObject({ bytes: 10, sentBytes: 10 })
})

test('a file for which the gateway is busy goes out again when it said, before those behind it, and none goes out meanwhile', async () => {
  const { queue, calls, clock, now, ended } = startQueue()
  queue.add(['a', 'b', 'c', 'd', 'e'].map((path) => fileOf(path)))
  calls[0]?.onSent(7)
  const busyFor = new Busy(5_000)
  await calls[0]?.end(busyFor)
  await calls[1]?.end()
  expect(now()).toMatchObject({ files: 5, endedFiles: 1, sentBytes: 10, refused: [], pause: { untilMs: 5_000, error: busyFor } })
  expect([pathsOf(now()), ended()]).toEqual([['c'], 1])
  clock.advance(2_000)
  // One that asks for less changes nothing.
  await calls[2]?.end(new Busy(1_000))
  expect([pathsOf(now()), now()?.pause?.untilMs]).toEqual([[], 5_000])
  clock.advance(2_999)
  expect(calls).toHaveLength(3)
  clock.advance(1)
  expect([calls.slice(3).map(({ path }) => path), now()?.pause]).toEqual([['a', 'c', 'd'], null])
  for (const call of calls) await call.end()
  expect(now()).toMatchObject({ files: 5, bytes: 50, sentBytes: 50, endedFiles: 5, refused: [], going: [] })
})

test('the longest wait holds for all, and a file that is put off too often is refused', async () => {
  const { queue, calls, clock, now, ended } = startQueue()
  queue.add([fileOf('a'), fileOf('b')])
  await calls[0]?.end(new Busy(1_000))
  await calls[1]?.end(new Busy(3_000))
  expect(now()?.pause?.untilMs).toBe(3_000)
  clock.advance(3_000)
  const last = new Busy(1_000)
  await calls[2]?.end(new Busy(1_000))
  await calls[3]?.end()
  clock.advance(1_000)
  await calls[4]?.end(last)
  expect(now()).toMatchObject({ files: 2, endedFiles: 2, going: [], pause: null, refused: [{ path: 'a', error: last }] })
  expect([calls.length, ended(), clock.pending]).toEqual([5, 2, 0])
})

test('while all wait they can be cancelled, and what is given is added to them', async () => {
  const { queue, calls, clock, now } = startQueue()
  queue.add([fileOf('a')])
  await calls[0]?.end(new Busy(5_000))
  queue.add([fileOf('b')])
  expect(now()).toMatchObject({ files: 2, endedFiles: 0, going: [], pause: { untilMs: 5_000 } })
  cancelUploads()
  expect(now()).toMatchObject({ files: 2, cancelled: 2, endedFiles: 2, bytes: 0, pause: null })
  expect([calls.length, clock.pending]).toEqual([1, 0])
})
