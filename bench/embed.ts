/**
 * Embedding batches over eight nodes against one. A node works through a batch item by item, one batch at a time, so
 * the herd can be eight times as fast only when the gateway splits it. With one node hung no item may be lost, and
 * the whole may take half as long again. Answers are checked item by item: the mock's vectors name their items.
 */
import { z } from 'zod'

import { systemClock } from '../src/base/clock.ts'
import { embedBatch } from './harness/bodies.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'

const itemMs = 8
const warmItems = 64
const timeoutMs = 60_000

const answer = z.object({ embeddings: z.array(z.array(z.number())) })

interface Played {
  readonly tookMs: number
  /** Items missing, doubled or out of place. */
  readonly lost: number
}

/** The body of the answer; undefined when there is none in time. */
async function post(port: number, body: string): Promise<string | undefined> {
  const request = { method: 'POST', body, headers: { 'content-type': 'application/json' }, signal: AbortSignal.timeout(timeoutMs) }
  try {
    const response = await fetch(`http://127.0.0.1:${port}/api/embed`, request)
    return response.status === 200 ? await response.text() : undefined
  } catch {
    return undefined
  }
}

async function embed(port: number, items: number): Promise<Played> {
  const startMs = systemClock.nowMs()
  const text = await post(port, embedBatch(items))
  const tookMs = systemClock.nowMs() - startMs
  if (text === undefined) return { tookMs, lost: items }
  const { embeddings } = answer.parse(JSON.parse(text))
  const inPlace = embeddings.filter((vector, index) => vector[0] === index).length
  return { tookMs, lost: Math.abs(embeddings.length - items) + Math.max(0, Math.min(items, embeddings.length) - inPlace) }
}

/** The batch `rounds` times through a gateway over `ports`, after one small batch. */
async function playAll(port: number, items: number, rounds: number): Promise<{ tookMs: number; lost: number }> {
  await embed(port, warmItems)
  const played: Played[] = []
  for (let round = 0; round < rounds; round += 1) played.push(await embed(port, items))
  return { tookMs: median(played.map((one) => one.tookMs)), lost: played.reduce((sum, one) => sum + one.lost, 0) }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const items = options.isQuick ? 512 : 2_048
    const rounds = options.isQuick ? 1 : 3
    const herd = await stage.mock(8, { slots: 1, embedItemMs: itemMs })
    const single = await stage.gateway(herd.ports.slice(0, 1))
    const one = await playAll(single.port, items, rounds)
    await single.stop()
    options.log(`one node: ${rounded(one.tookMs)} ms for ${items} items`)
    const gateway = await stage.gateway(herd.ports)
    const eight = await playAll(gateway.port, items, rounds)
    options.log(`eight nodes: ${rounded(eight.tookMs)} ms`)
    await herd.set({ fault: 'hang-inference' }, [0])
    const hung = await embed(gateway.port, items)
    options.log(`one of eight hung: ${rounded(hung.tookMs)} ms`)
    const bars = [
      atLeast('throughput of eight nodes, × one', rounded(one.tookMs / eight.tookMs), 7),
      atMost('items lost or out of place', one.lost + eight.lost, 0),
      atMost('one node hung: items lost or out of place', hung.lost, 0),
      atMost('one node hung: time, × all healthy', rounded(hung.tookMs / eight.tookMs), 1.5),
    ]
    return benchResult('embed', options, {
      bars,
      data: { items, oneMs: rounded(one.tookMs), eightMs: rounded(eight.tookMs), hungMs: rounded(hung.tookMs) },
    })
  })
}
