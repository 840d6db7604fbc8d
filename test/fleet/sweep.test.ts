// How often what is under way is looked at, and how seldom when there is nothing.

import { expect, test } from 'vitest'

import { LiveList } from '../../src/base/live-list.ts'
import { Sweep, type Swept } from '../../src/fleet/sweep.ts'
import { manualClock } from './manual-clock.ts'

/** A sweep whose looks are noted. */
function watchedSweep(onUpkeep: (sweep: Sweep) => void = () => undefined) {
  const clock = manualClock()
  const queue = { isAwaited: false }
  const looks: number[] = []
  const upkeeps: number[] = []
  const startMs = clock.nowMs()
  const active: LiveList<Swept> = new LiveList(() => sweep.wake())
  const upkeep = (nowMs: number): void => {
    upkeeps.push(nowMs - startMs)
    onUpkeep(sweep)
  }
  const sweep: Sweep = new Sweep({ clock, active, isAwaited: () => queue.isAwaited, upkeep })
  const attempt: Swept = { place: 0, check: (nowMs) => looks.push(nowMs - startMs) }
  sweep.start()
  return { clock, looks, upkeeps, active, attempt, queue, sweep }
}

test('at rest queues and nodes are looked at four times a second, by one timer', () => {
  const { clock, upkeeps, sweep } = watchedSweep()
  clock.advance(1_000)
  expect(upkeeps).toEqual([250, 500, 750, 1_000])
  expect(clock.pending).toBe(1)
  sweep.stop()
  expect(clock.pending).toBe(0)
})

test('what begins is looked at 50 ms later and every 50 ms, until nothing is under way', () => {
  const { clock, looks, upkeeps, active, attempt } = watchedSweep()
  clock.advance(10)
  active.add(attempt)
  clock.advance(200)
  expect(looks).toEqual([60, 110, 160, 210])
  expect(upkeeps).toEqual([60, 160])
  active.remove(attempt)
  clock.advance(550)
  expect(looks).toHaveLength(4)
  // One more in the rhythm that was, then the slow one.
  expect(upkeeps).toEqual([60, 160, 260, 510, 760])
})

test('while somebody waits queues are looked at ten times a second, though nothing is under way', () => {
  const { clock, upkeeps, queue, sweep } = watchedSweep()
  clock.advance(10)
  queue.isAwaited = true
  sweep.wake()
  clock.advance(300)
  expect(upkeeps).toEqual([60, 160, 260])
})

test('what wakes or stops it from within a look leaves one timer, or none', () => {
  const woken = watchedSweep((sweep) => sweep.wake())
  woken.clock.advance(1_000)
  expect(woken.clock.pending).toBe(1)
  const stopped = watchedSweep((sweep) => sweep.stop())
  stopped.clock.advance(1_000)
  expect(stopped.upkeeps).toEqual([250])
  expect(stopped.clock.pending).toBe(0)
})
