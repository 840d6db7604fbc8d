/** The shortest of several runs: what the work takes when nothing else has the processor. */
export async function shortestMs(runs: number, work: () => unknown): Promise<number> {
  let bestMs = Infinity
  for (let run = 0; run < runs; run += 1) {
    const startedAtMs = performance.now()
    await work()
    bestMs = Math.min(bestMs, performance.now() - startedAtMs)
  }
  return bestMs
}
