// The door of every npm script: refuses a Node that cannot run TypeScript, in one clear sentence, then runs the given file in this process.
// Plain JavaScript on purpose, because the Node it must refuse cannot load anything else.
// Usage: node scripts/run.mjs FILE [arguments…]

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const root = resolve(import.meta.dirname, '..')
const manifest = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8'))
const lowest = manifest.engines.node.replace('>=', '')

/** True when `version` (a.b.c) is not below `floor` (a.b.c). */
function reaches(version, floor) {
  const have = version.split('.').map(Number)
  const want = floor.split('.').map(Number)
  const differing = want.findIndex((part, index) => part !== have[index])
  return differing === -1 || have[differing] > want[differing]
}

if (!reaches(process.versions.node, lowest)) {
  console.error(
    `corral needs Node ${lowest} or newer, but this is Node ${process.versions.node} (${process.execPath}).\n` +
      `The development dependency "node" normally brings ${manifest.devDependencies.node}; its install script did not run, or the command was ` +
      'not started through npm.\n' +
      'Run `npm rebuild node --ignore-scripts=false` and try again, or put a newer Node first on PATH.',
  )
  process.exit(1)
}

const [file, ...rest] = process.argv.slice(2)
if (file === undefined) {
  console.error('usage: node scripts/run.mjs FILE [arguments…]')
  process.exit(2)
}
const target = resolve(root, file)
process.argv.splice(1, process.argv.length, target, ...rest)
await import(pathToFileURL(target).href)
