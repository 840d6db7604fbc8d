/**
 * CPU of one call inside this process. The call and an empty one run in batches in turn, each batch long enough for the
 * clock of the kernel's accounting; the difference of the middle batches counts. All threads are counted: what a call hands to
 * another thread is not free.
 */
import { median } from './samples.ts'

export interface CallCost {
  /** Microseconds of CPU per call, the loop's own taken off. */
  readonly cpuUs: number
  /** Microseconds that passed per call. */
  readonly wallUs: number
}

export interface CallPlan {
  readonly calls: number
  readonly batches: number
}

interface Batch {
  readonly cpuUs: number
  readonly wallUs: number
}

type Call = (index: number) => unknown

async function runBatch(call: Call, from: number, calls: number): Promise<Batch> {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  for (let index = from; index < from + calls; index += 1) {
    const result = call(index)
    if (result instanceof Promise) await result
  }
  const wallUs = Number(process.hrtime.bigint() - start) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  return { cpuUs: (user + system) / calls, wallUs: wallUs / calls }
}

function idle(index: number): number {
  return index
}

/** `call` gets a number that never comes again. The first batch warms up and does not count. */
export async function costOf(call: Call, { calls, batches }: CallPlan): Promise<CallCost> {
  const own: Batch[] = []
  const empty: Batch[] = []
  for (let batch = 0; batch <= batches; batch += 1) {
    own.push(await runBatch(call, batch * calls, calls))
    empty.push(await runBatch(idle, batch * calls, calls))
  }
  const middle = (found: readonly Batch[], of: (batch: Batch) => number): number => median(found.slice(1).map(of))
  const difference = (of: (batch: Batch) => number): number => Math.max(0, middle(own, of) - middle(empty, of))
  return { cpuUs: difference(({ cpuUs }) => cpuUs), wallUs: difference(({ wallUs }) => wallUs) }
}
