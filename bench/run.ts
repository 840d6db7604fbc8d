/**
 * `npm run bench -- NAME... [--quick] [--json] [--no-fail] [--target bare] [--only TEXT] [--minutes N] [--data PATH] [--vectors FILE] [--portkey PATH]`: runs benches one after another. Standard output holds
 * the result alone (a table, or one JSON document per run under `--json`); progress goes to standard error. Exit
 * code 1 when a bar does not hold, unless `--no-fail`; 2 for a wrong call.
 */
import { parseArgs } from 'node:util'

import type { BenchOptions, BenchResult } from './harness/result.ts'
import { renderResult } from './harness/render.ts'

type Bench = (options: BenchOptions) => Promise<BenchResult>

/** Each bench is loaded when it is asked for. */
const benches: Readonly<Record<string, () => Promise<{ readonly run: Bench }>>> = {
  start: () => import('./start.ts'),
  'first-answer': () => import('./first-answer.ts'),
  overhead: () => import('./overhead.ts'),
  workers: () => import('./workers.ts'),
  streams: () => import('./streams.ts'),
  idle: () => import('./idle.ts'),
  balance: () => import('./balance.ts'),
  embed: () => import('./embed.ts'),
  faults: () => import('./faults.ts'),
  overload: () => import('./overload.ts'),
  routing: () => import('./routing.ts'),
  soak: () => import('./soak.ts'),
  cache: () => import('./cache.ts'),
  'cache-hit': () => import('./cache-hit.ts'),
  coalesce: () => import('./coalesce.ts'),
  auth: () => import('./auth.ts'),
  limits: () => import('./limits.ts'),
  'store-faults': () => import('./store-faults.ts'),
  pool: () => import('./pool.ts'),
  'overhead-all': () => import('./overhead-all.ts'),
  retrieval: () => import('./retrieval.ts'),
  chunking: () => import('./chunking.ts'),
  ingest: () => import('./ingest.ts'),
  crash: () => import('./crash.ts'),
  'search-speed': () => import('./search-speed.ts'),
  'search-load': () => import('./search-load.ts'),
  tune: () => import('./tune.ts'),
  citations: () => import('./citations.ts'),
  'answer-cache': () => import('./answer-cache.ts'),
  users: () => import('./users.ts'),
  scrape: () => import('./scrape.ts'),
  console: () => import('./console.ts'),
  plan: () => import('./plan.ts'),
  uptime: () => import('./uptime.ts'),
}

interface Call {
  readonly names: readonly string[]
  readonly isQuick: boolean
  readonly isJson: boolean
  readonly mayFail: boolean
  readonly target: BenchOptions['target']
  readonly only: string
  readonly minutes: number | undefined
  readonly dataPath: string | undefined
  readonly vectorsPath: string | undefined
  readonly portkeyPath: string | undefined
}

function readCall(): Call | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean' },
      json: { type: 'boolean' },
      'no-fail': { type: 'boolean' },
      target: { type: 'string', default: 'corral' },
      only: { type: 'string', default: '' },
      minutes: { type: 'string' },
      data: { type: 'string' },
      vectors: { type: 'string' },
      portkey: { type: 'string' },
    },
  })
  const names = positionals.length === 1 && positionals[0] === 'all' ? Object.keys(benches) : positionals
  if (names.length === 0 || names.some((name) => !Object.hasOwn(benches, name))) return undefined
  const { target, only } = values
  if (target !== 'corral' && target !== 'bare') return undefined
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  if (minutes !== undefined && !(minutes > 0)) return undefined
  const { data: dataPath, vectors: vectorsPath, portkey: portkeyPath } = values
  return {
    names,
    target,
    only,
    minutes,
    dataPath,
    vectorsPath,
    portkeyPath,
    isQuick: values.quick ?? false,
    isJson: values.json ?? false,
    mayFail: values['no-fail'] ?? false,
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function runBench(name: string, call: Call): Promise<BenchResult> {
  const load = benches[name]
  if (load === undefined) throw new Error(`no bench ${name}`)
  const bench = await load()
  return bench.run({ ...call, log: (line) => say(`${name}: ${line}`) })
}

async function main(): Promise<number> {
  const call = readCall()
  if (call === undefined) {
    say(
      `usage: npm run bench -- NAME... [--quick] [--json] [--no-fail] [--target corral|bare] [--only TEXT] [--minutes N] [--data PATH] [--vectors FILE] [--portkey PATH]\nbenches: ${Object.keys(benches).join(' ')}, or all`,
    )
    return 2
  }
  const results: BenchResult[] = []
  for (const name of call.names) {
    const result = await runBench(name, call)
    results.push(result)
    if (!call.isJson) process.stdout.write(renderResult(result))
  }
  if (call.isJson) process.stdout.write(`${JSON.stringify(results.length === 1 ? results[0] : results, null, 2)}\n`)
  const isGood = results.every((result) => result.bars.every((bar) => bar.isOk))
  return isGood || call.mayFail ? 0 : 1
}

process.exitCode = await main()
