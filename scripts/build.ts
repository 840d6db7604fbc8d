// Makes dist/, the JavaScript that the published package runs (Node refuses TypeScript below node_modules). File by file and not bundled, so
// that dist mirrors src: a path relative to a module means the same in both, and each command still loads only its own code.

import { spawnSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist')

rmSync(out, { recursive: true, force: true })
const compiler = join(root, 'node_modules/typescript/bin/tsc')
const { status } = spawnSync(process.execPath, [compiler, '--project', join(root, 'tsconfig.build.json')], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
chmodSync(join(out, 'main.js'), 0o755)
console.log('built dist/')
