/** Lets one node after another misbehave, each in the next way, so that every pair of fault and moment comes up. */
import { systemClock } from '../../src/base/clock.ts'
import type { MockFault } from './mock-settings.ts'
import type { MockHerd } from './stage.ts'

const faults: readonly MockFault[] = ['503', 'refuse', 'rst-at-frame', '404', 'hang-inference', 'rst-before-head', 'slow', 'hang']
const faultMs = 4_000
const pauseMs = 3_000

/** Runs until `untilMs` of the system clock; every node is healthy again when it resolves. Returns how many faults there were. */
export async function rotateFaults(herd: MockHerd, untilMs: number): Promise<number> {
  let turn = 0
  while (systemClock.nowMs() + pauseMs + faultMs < untilMs) {
    await systemClock.sleep(pauseMs)
    const node = turn % herd.ports.length
    await herd.set({ fault: faults[(turn + Math.floor(turn / faults.length)) % faults.length] ?? 'none' }, [node])
    await systemClock.sleep(faultMs)
    await herd.set({ fault: 'none' }, [node])
    turn += 1
  }
  await systemClock.sleep(Math.max(0, untilMs - systemClock.nowMs()))
  return turn
}
