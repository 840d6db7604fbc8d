/**
 * `npm run bench -- NAME... [options]`: runs benches one after another; `usage` below says what may be given. Standard output holds the result
 * alone (a table, or one JSON document per run under `--json`); progress goes to standard error. Exit code 1 when a bar does not hold, unless
 * `--no-fail`; 2 for a wrong call; 3 when what it names is not there or not what it must be (a server, a model, a file of vectors).
 */
import { parseArgs } from 'node:util'
import { z } from 'zod'

import { CannotRun } from './harness/cannot-run.ts'
import type { OllamaChoice } from './harness/embedding-source.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { renderResult } from './harness/render.ts'

type Bench = (options: BenchOptions) => Promise<BenchResult>

/** Those that measure with real vectors and keep them, and all that measure with them. */
const keepVectors = ['retrieval', 'search-speed', 'tune']
const withVectors = [...keepVectors, 'citations', 'chunking']

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
  tenants: () => import('./tenants.ts'),
}

const usage = `usage: npm run bench -- NAME... [--quick] [--json] [--no-fail] [--target corral|bare] [--only TEXT] [--minutes N] [--data PATH]
       [--vectors FILE] [--ollama URL --embed-model NAME] [--portkey PATH]

  --quick        shorter and smaller: shows that the bench works, not that a bar holds
  --json         the figures as JSON
  --no-fail      ends with 0 also where a bar does not hold
  --target bare  measures the plain proxy in the gateway's place
  --only TEXT    scenarios, stores or sets whose name holds TEXT
  --minutes N    length of a run that has one
  --data PATH    the folder of public test data
  --vectors FILE keeps real vectors in files whose names begin so: ${keepVectors.join(', ')}
  --ollama URL --embed-model NAME
                 a real Ollama makes the vectors of ${withVectors.join(', ')}
                 with this model; else MiniLM does, from PATH/../models, behind a simulated node. Bars that were set with
                 MiniLM then print their figure and hold nothing
  --portkey PATH where @portkey-ai/gateway is installed, to compare with it

benches: ${Object.keys(benches).join(' ')}, or all`

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
  readonly ollama: OllamaChoice | undefined
  readonly portkeyPath: string | undefined
}

/** Undefined for one without the other, or no address. */
function readOllama(url: string, model: string): OllamaChoice | undefined {
  return model !== '' && z.url({ protocol: /^https?$/ }).safeParse(url).success ? { url, model } : undefined
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
      ollama: { type: 'string', default: '' },
      'embed-model': { type: 'string', default: '' },
      portkey: { type: 'string' },
    },
  })
  const names = positionals.length === 1 && positionals[0] === 'all' ? Object.keys(benches) : positionals
  if (names.length === 0 || names.some((name) => !Object.hasOwn(benches, name))) return undefined
  const { target, only } = values
  if (target !== 'corral' && target !== 'bare') return undefined
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  if (minutes !== undefined && !(minutes > 0)) return undefined
  const { ollama: url, 'embed-model': model } = values
  const ollama = readOllama(url, model)
  if (ollama === undefined && url + model !== '') return undefined
  const { data: dataPath, vectors: vectorsPath, portkey: portkeyPath } = values
  return {
    names,
    target,
    only,
    minutes,
    dataPath,
    vectorsPath,
    ollama,
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
    say(usage)
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

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof CannotRun)) throw error
  say(error.message)
  process.exitCode = 3
}
