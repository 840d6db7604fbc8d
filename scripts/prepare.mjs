// The end of `npm ci`: makes the console once, so that the first start need not. Where only production dependencies were installed there is
// nothing to make it with, and nothing to do. Plain JavaScript, because an older Node than ours may run it.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const [major = 0] = process.versions.node.split('.').map(Number)

if (major >= 22 && existsSync(join(root, 'node_modules/vite/package.json'))) {
  const { buildConsole } = await import('./console-build.ts')
  console.log(`console: ${await buildConsole(join(root, 'dist/console'))}`)
}
