#!/usr/bin/env node
/**
 * The entry. It checks the Node version before anything heavy loads, so that an old one gets a sentence instead of a
 * syntax error, turns on the compile cache, and hands over to the command line.
 */
import { enableCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'

const nodeVersionMin = '22.23.2'

function isOlder(version: string, than: string): boolean {
  const own = version.split('.').map(Number)
  for (const [index, wanted] of than.split('.').map(Number).entries()) {
    const part = own[index] ?? 0
    if (part !== wanted) return part < wanted
  }
  return false
}

if (isOlder(process.versions.node, nodeVersionMin)) {
  process.stderr.write(`corral: Node ${nodeVersionMin} or later is needed, this is ${process.versions.node}\n`)
  process.exitCode = 1
} else {
  enableCompileCache()
  // V8 may decide, in about one start of six, to put what a request allocates into the old generation at once. What is dead there keeps
  // alive what it points to until a full collection: 7 instead of 0.8 µs of collecting a request, and twice the heap.
  setFlagsFromString('--no-allocation-site-pretenuring')
  const { run } = await import('./cli/program.ts')
  await run(process.argv.slice(2))
}
