/**
 * What is given up when the memory of the process runs short, one step after the other (reliability-security.md §2 F56, after
 * Envoy's overload manager): first work that can wait, then connections, then new requests. A pure function of the step
 * before and the share of the limit in use; `memory-guard.ts` samples and applies it. Streams that run are never cut for memory.
 */

/** `normal` · `defer`: no embeddings, no batch · `close`: answers end their connection · `refuse`: no new requests. Each includes those before. */
export type MemoryStep = 'normal' | 'defer' | 'close' | 'refuse'

/** Steps with the share of the limit from which each holds, highest first. */
const rungs: readonly (readonly [MemoryStep, number])[] = [
  ['refuse', 0.95],
  ['close', 0.92],
  ['defer', 0.85],
  ['normal', 0],
]

/** A step is left only this far below the share it began at: one sample a second around the edge would flap. */
const leaveBelowShare = 0.02

/** The step for `usedShare` of the limit (1 is all of it), coming from `before`. */
export function nextStep(before: MemoryStep, usedShare: number): MemoryStep {
  const risen = stepAt(usedShare)
  if (levelOf(risen) >= levelOf(before)) return risen
  const settled = stepAt(usedShare + leaveBelowShare)
  return levelOf(settled) < levelOf(before) ? settled : before
}

/** 0 for `normal` to 3 for `refuse`. */
export function levelOf(step: MemoryStep): number {
  switch (step) {
    case 'normal':
      return 0
    case 'defer':
      return 1
    case 'close':
      return 2
    case 'refuse':
      return 3
  }
}

function stepAt(usedShare: number): MemoryStep {
  for (const [step, fromShare] of rungs) if (usedShare >= fromShare) return step
  return 'normal'
}
