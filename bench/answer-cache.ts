/**
 * What caching is worth under documents that change (W2): a closed catalogue of questions asked by Zipf at 20 a second with one edit a minute,
 * through the whole gateway on an embedded store. No answer may tell what an edit replaced; of the generations at least 98 % must
 * be avoided, by kept answers or, where only their surroundings changed, by the cache of generations. Starts cold.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../src/base/clock.ts'
import { createEmbedded } from '../src/store/embedded.ts'
import { storeOptions } from '../src/store/options.ts'
import { startRagApp } from '../test/rag/rag-app.ts'
import { type EditsPlan, type EditsPlayed, type Missed, playEdits } from './harness/answer-edits.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { Samples } from './harness/samples.ts'

const ratePerSecond = 20
const requestsPerEdit = ratePerSecond * 60

const plan = { seed: 20_261_126, alpha: 1, requestsPerEdit, lanes: 4 }
/** Requests per question as in W1: a perfect cache without edits avoids 99 %. */
const full: EditsPlan = { ...plan, requests: 30_000, catalogue: 300 }
const quick: EditsPlan = { ...plan, requests: 4_000, catalogue: 40 }

async function play(chosen: EditsPlan, { log }: BenchOptions): Promise<EditsPlayed> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-answer-cache-'))
  const deps = { clock: systemClock, random: Math.random, report: log }
  // What is measured is what is answered, not how fast: a slow machine gets its answers too.
  const config = { answer: { retrievalMs: '30s', retrievalShare: 0.9 } }
  const gateway = await startRagApp({
    config,
    database: createEmbedded({ ...storeOptions.parse({ embedded: { queueTimeoutMs: '60s' } }), dataDir: folder }, deps),
  })
  try {
    return await playEdits(gateway, chosen, log)
  } finally {
    await gateway.close()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

function tookOf(values: readonly number[]): object {
  const samples = new Samples()
  for (const value of values) samples.add(value)
  const { p50, p90, p99 } = samples.spread()
  return { p50Ms: rounded(p50), p90Ms: rounded(p90), p99Ms: rounded(p99) }
}

/** Answers without their statement: how many of them were said not to be in the documents, and how many were kept ones, by topic. */
function missedOf(missed: readonly Missed[]): Record<string, { answers: number; refused: number; kept: number }> {
  const byTopic: Record<string, { answers: number; refused: number; kept: number }> = {}
  for (const { topic, refused, kept } of missed) {
    const row = (byTopic[topic] ??= { answers: 0, refused: 0, kept: 0 })
    row.answers += 1
    row.refused += Number(refused)
    row.kept += Number(kept)
  }
  return byTopic
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const chosen = options.isQuick ? quick : full
  const { stale, missed, edits, distinct, kept, generations, keptMs, otherMs } = await play(chosen, options)
  /** Percent, rounded down: a bar is not reached by rounding. */
  const share = (count: number): number => Math.floor((10_000 * count) / chosen.requests) / 100
  const bars = [
    atMost('stale answers', stale, 0),
    atMost('answers without their statement', missed.length, 0),
    atLeast('generations avoided, %', share(chosen.requests - generations), 98),
  ]
  const data = {
    ...chosen,
    edits,
    distinct,
    'avoided at best without edits, %': share(chosen.requests - distinct),
    'kept answers, %': share(kept),
    generations,
    missed: missedOf(missed),
    'kept answer': tookOf(keptMs),
    'searched anew': tookOf(otherMs),
  }
  return benchResult('answer-cache', options, { bars, data })
}
