/**
 * The wedge of Ollama's scheduler on a clock moved by hand: what waits, what is served meanwhile, and the exact moment of release.
 */
import { describe, expect, it } from 'vitest'
import { defaultModels } from '../../src/sim/model.ts'
import { Runner } from '../../src/sim/runner.ts'
import { Scheduler, type Loaded } from '../../src/sim/scheduler.ts'
import { storeModel, type StoredModel } from '../../src/sim/store.ts'
import { Ticker } from '../../src/sim/ticker.ts'
import { manualClock, type ManualClock } from '../fleet/manual-clock.ts'

const loadMs = 500
const keepAliveMs = 60_000
const defaultKeepAliveMs = 300_000

function named(name: string): StoredModel {
  const facts = defaultModels.find((one) => one.name === name)
  const model = facts === undefined ? null : storeModel(facts, 0)
  if (model === null) throw new Error(`no model ${name}`)
  return model
}

const busy = named('llama3.2:3b')
const warm = named('all-minilm:latest')
const colds = [named('qwen3:8b'), named('nomic-embed-text:latest')] as const

interface Asked {
  /** When a runner was granted; null while the request waits. */
  readonly grantedAtMs: number | null
  end(): void
  leave(): void
}

interface Bench {
  readonly clock: ManualClock
  readonly scheduler: Scheduler
  ask(model: StoredModel, numCtx: number, sessionMs?: number | null): Asked
}

function openBench(): Bench {
  const clock = manualClock()
  const ticker = new Ticker(clock)
  const scheduler = new Scheduler(ticker, {
    maxQueue: 512,
    maxLoadedModels: 8,
    vramBytes: 0,
    keepAliveMs: defaultKeepAliveMs,
    loadTimeoutMs: 300_000,
    pingMs: 19_700,
    slotsOf: () => 4,
    loadMs: () => loadMs,
    newRunner: (_model, slots) => new Runner(ticker, { slots, promptTokensPerMs: 1, evalTokensPerMs: 1 }),
  })
  const ask = (model: StoredModel, numCtx: number, sessionMs: number | null = null): Asked => {
    let held: Loaded | null = null
    let grantedAtMs: number | null = null
    const leave = scheduler.request({
      model,
      options: { numCtx, shift: true, rest: '' },
      sessionMs,
      onReady: (loaded) => {
        held = loaded
        grantedAtMs = clock.nowMs()
      },
      onError: ({ kind }) => expect.unreachable(kind),
    })
    const end = (): void => {
      if (held === null) throw new Error('ends before it began')
      scheduler.release(held)
    }
    return {
      get grantedAtMs() {
        return grantedAtMs
      },
      end,
      leave: () => void leave(),
    }
  }
  return { clock, scheduler, ask }
}

/** A runs, B wants a reload, A2 fits A's runner and names a session (or none), both end. The result is B. */
function wedge({ clock, ask }: Bench, renewalMs: number | null = keepAliveMs): Asked {
  const first = ask(busy, 2_048, keepAliveMs)
  clock.advance(loadMs)
  const other = ask(busy, 1_024)
  const renewal = ask(busy, 2_048, renewalMs)
  expect(renewal.grantedAtMs).toBe(clock.nowMs())
  renewal.end()
  first.end()
  return other
}

describe('a wedged scheduler', () => {
  it('keeps out every cold model, also those that come later one by one, until keep_alive passes', () => {
    const bench = openBench()
    const { clock, scheduler } = bench
    const other = wedge(bench)
    const endedAtMs = clock.nowMs()
    const early = bench.ask(colds[0], 2_048)
    clock.advance(keepAliveMs / 2)
    const late = bench.ask(colds[1], 2_048)
    const alike = bench.ask(busy, 4_096)
    clock.advance(keepAliveMs / 2 - 1)
    expect([other, early, late, alike].map(({ grantedAtMs }) => grantedAtMs)).toEqual([null, null, null, null])
    expect([scheduler.loads, scheduler.unloads]).toEqual([1, 0])
    clock.advance(1 + 3 * loadMs)
    const servedAtMs = [1, 2, 3].map((loads) => endedAtMs + keepAliveMs + loads * loadMs)
    expect([other, early, late].map(({ grantedAtMs }) => grantedAtMs)).toEqual(servedAtMs)
  })

  it('serves loaded models at once, all the time; each renewal prolongs the wedge', () => {
    const bench = openBench()
    const { clock } = bench
    bench.ask(warm, 256)
    clock.advance(loadMs)
    const other = wedge(bench)
    const cold = bench.ask(colds[0], 2_048)
    for (let time = 0; time < 4; time += 1) {
      clock.advance(keepAliveMs - 1)
      for (const served of [bench.ask(warm, 256), bench.ask(busy, 2_048)]) {
        expect(served.grantedAtMs).toBe(clock.nowMs())
        served.end()
      }
    }
    expect([other.grantedAtMs, cold.grantedAtMs]).toEqual([null, null])
    const lastMs = clock.nowMs()
    clock.advance(keepAliveMs + loadMs)
    expect(other.grantedAtMs).toBe(lastMs + keepAliveMs + loadMs)
  })

  it('is freed at once by an unload request for the model', () => {
    const bench = openBench()
    const { clock, scheduler } = bench
    const other = wedge(bench)
    const cold = bench.ask(colds[0], 2_048)
    clock.advance(5_000)
    expect(scheduler.loadingModel).toBe(null)
    scheduler.expire(busy)
    const freedAtMs = clock.nowMs()
    clock.advance(2 * loadMs)
    expect([other.grantedAtMs, cold.grantedAtMs]).toEqual([freedAtMs + loadMs, freedAtMs + 2 * loadMs])
  })

  it('is freed neither by an unload request for a model that is not loaded nor by waiting clients that leave', () => {
    const bench = openBench()
    const { clock, scheduler } = bench
    const other = wedge(bench)
    const leaving = bench.ask(colds[0], 2_048)
    const cold = bench.ask(colds[1], 2_048)
    scheduler.expire(colds[1])
    other.leave()
    leaving.leave()
    bench.ask(colds[0], 2_048)
    clock.advance(keepAliveMs - 1)
    expect([scheduler.loads, scheduler.unloads, cold.grantedAtMs]).toEqual([1, 0, null])
    clock.advance(1 + loadMs)
    expect(cold.grantedAtMs).toBe(clock.nowMs())
  })

  it('stays so for ever when the session has no end', () => {
    const bench = openBench()
    const other = wedge(bench, Infinity)
    bench.clock.advance(1_000 * keepAliveMs)
    expect(other.grantedAtMs).toBe(null)
  })

  it('is none when the renewal names no session: the reload starts when the last answer ends', () => {
    const bench = openBench()
    const other = wedge(bench, null)
    const endedAtMs = bench.clock.nowMs()
    bench.clock.advance(loadMs)
    expect(other.grantedAtMs).toBe(endedAtMs + loadMs)
  })
})
