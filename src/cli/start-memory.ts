/**
 * Gives back what loading the program took: the young generation, grown to some 20 MB by modules that outlive it. A process that is served from
 * at once shrinks by itself no more: what it allocates keeps its heap at that size (`npm run bench -- start`).
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** One full collection, some 30 ms, which nobody waits for but the first answer: call it before anybody can connect. */
export function releaseStartMemory(): void {
  setFlagsFromString('--expose-gc')
  // Such a collection is several in a row, in which code would age and be thrown away that the first requests compile anew.
  setFlagsFromString('--no-flush-bytecode')
  runInNewContext("gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })")
  setFlagsFromString('--flush-bytecode')
  setFlagsFromString('--no-expose-gc')
  // Under load the young generation has its room at once. Doubled each time from what it is now, it would be collected all the more often.
  setFlagsFromString('--semi-space-growth-factor=16')
}
