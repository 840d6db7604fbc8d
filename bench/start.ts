/**
 * From the start of the process to the first answer, and the memory it then holds, two seconds later and after load.
 * Resident size counts, not the proportional one: on a machine with one gateway nothing shares its pages.
 */
import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import { manySlots } from './harness/gateway.ts'
import { memoryBytes } from './harness/process-stat.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'
import type { MockHerd, Stage } from './harness/stage.ts'

const settleMs = 2_000
const megabyte = 1_000_000

interface Start {
  readonly firstAnswerMs: number
  readonly rssMb: number
  readonly pssMb: number
}

function memoryMb(pid: number): { rssMb: number; pssMb: number } {
  const { rssBytes, pssBytes } = memoryBytes(pid)
  return { rssMb: rssBytes / megabyte, pssMb: pssBytes / megabyte }
}

async function oneStart(stage: Stage, herd: MockHerd): Promise<Start> {
  const gateway = await stage.gateway(herd.ports, manySlots)
  await systemClock.sleep(settleMs)
  const memory = memoryMb(gateway.pid)
  await gateway.stop()
  return { firstAnswerMs: gateway.firstAnswerMs, ...memory }
}

async function afterLoad(stage: Stage, herd: MockHerd, loadMs: number): Promise<{ rssMb: number; pssMb: number }> {
  const gateway = await stage.gateway(herd.ports, manySlots)
  const driver = await stage.driver()
  await driver.start({ port: gateway.port, body: wholeChat, connections: 64 })
  await systemClock.sleep(loadMs)
  const memory = memoryMb(gateway.pid)
  await driver.finish()
  return memory
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const herd = await stage.mock(8)
    const starts: Start[] = []
    for (let round = 0; round < (options.isQuick ? 3 : 7); round += 1) {
      const start = await oneStart(stage, herd)
      options.log(`first answer ${rounded(start.firstAnswerMs)} ms, RSS ${rounded(start.rssMb)} MB, PSS ${rounded(start.pssMb)} MB`)
      starts.push(start)
    }
    const loaded = await afterLoad(stage, herd, options.isQuick ? 5_000 : 20_000)
    const middle = (pick: (start: Start) => number): number => rounded(median(starts.map(pick)))
    const bars = [
      atMost(
        'first answer, ms after process start',
        middle((start) => start.firstAnswerMs),
        400,
      ),
      atMost(
        'RSS 2 s later, MB',
        middle((start) => start.rssMb),
        110,
      ),
      atMost('RSS after load, MB', rounded(loaded.rssMb), 210),
    ]
    const pssMb = { started: middle((start) => start.pssMb), loaded: rounded(loaded.pssMb) }
    return benchResult('start', options, { bars, data: { firstAnswerMs: starts.map((start) => rounded(start.firstAnswerMs)), pssMb } })
  })
}
