/**
 * The simulated herd as a program: `node src/sim/main.ts --nodes 8 --port 21434`. Prints one URL per line when a node
 * listens; ends on SIGTERM or SIGINT.
 */
import { parseArgs } from 'node:util'
import { createHerd } from './herd.ts'
import type { SimNodeOptions } from './node.ts'
import { createOnnxEmbedder } from './onnx-embedder.ts'

/** A MiniLM for vectors with a meaning; both paths or none. */
const fileFlags = ['onnx-model', 'onnx-vocabulary'] as const

const numberFlags = {
  parallel: 'numParallel',
  'max-queue': 'maxQueue',
  'max-loaded': 'maxLoadedModels',
  'vram-bytes': 'vramBytes',
  'keep-alive-ms': 'keepAliveMs',
  prefill: 'prefillTokensPerSecond',
  decode: 'decodeTokensPerSecond',
  'embed-ms': 'embedMsPerItem',
  speed: 'speed',
  seed: 'seed',
} as const

const usage = `usage: node src/sim/main.ts [--nodes 8] [--port 21434] [--control-port N] [--host 127.0.0.1] [--version 0.33.0]
       [--onnx-model FILE --onnx-vocabulary FILE]
       ${Object.keys(numberFlags)
         .map((flag) => `[--${flag} N]`)
         .join(' ')}`

function flags(): Record<string, string | boolean | undefined> {
  const text = { type: 'string' } as const
  const names = ['nodes', 'port', 'control-port', 'host', 'version', ...fileFlags, ...Object.keys(numberFlags)]
  const parsed = parseArgs({
    options: { ...Object.fromEntries(names.map((name) => [name, text])), help: { type: 'boolean' } },
    strict: true,
  })
  return Object.fromEntries(
    Object.entries(parsed.values).map(([name, value]) => [name, typeof value === 'boolean' ? value : String(value)]),
  )
}

function numberFlag(value: string | boolean | undefined, name: string): number | undefined {
  if (value === undefined) return undefined
  const number = Number(value)
  if (!Number.isFinite(number)) throw new Error(`--${name} must be a number`)
  return number
}

async function embedderOf(given: Record<string, string | boolean | undefined>): Promise<Pick<SimNodeOptions, 'embedder'>> {
  const [modelPath, vocabularyPath] = fileFlags.map((flag) => given[flag])
  if (typeof modelPath !== 'string' || typeof vocabularyPath !== 'string') return {}
  return { embedder: await createOnnxEmbedder({ modelPath, vocabularyPath }) }
}

async function main(): Promise<void> {
  const given = flags()
  if (given['help'] === true) {
    process.stdout.write(`${usage}\n`)
    return
  }
  const numbers: Record<string, number> = {}
  for (const [flag, option] of Object.entries(numberFlags)) {
    const value = numberFlag(given[flag], flag)
    if (value !== undefined) numbers[option] = value
  }
  const common: SimNodeOptions = { ...numbers }
  const controlPort = numberFlag(given['control-port'], 'control-port')
  const herd = await createHerd({
    ...common,
    ...(typeof given['host'] === 'string' ? { host: given['host'] } : {}),
    ...(typeof given['version'] === 'string' ? { version: given['version'] } : {}),
    ...(controlPort === undefined ? {} : { baseControlPort: controlPort }),
    ...(await embedderOf(given)),
    nodes: numberFlag(given['nodes'], 'nodes') ?? 8,
    basePort: numberFlag(given['port'], 'port') ?? 21_434,
  })
  for (const url of herd.urls) process.stdout.write(`${url}\n`)
  const stop = (): void => void herd.close().then(() => process.exit(0))
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`)
  process.exitCode = 2
}
