/** What work takes of this thread, which nothing else on the machine adds to. */

/** Milliseconds of CPU that `work` takes of the thread that calls it. */
export function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000
}
