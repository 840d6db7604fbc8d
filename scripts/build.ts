// Makes dist/, the JavaScript that the published package runs (Node refuses TypeScript below node_modules). Dependencies stay outside, to be
// installed and patched as usual; each lazily imported command becomes a file of its own, so that `serve` still loads only what it needs.

import { build } from 'esbuild'
import { chmodSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { buildConsole } from './console-build.ts'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist')

mkdirSync(out, { recursive: true })
// The console is made anew only when it has changed.
for (const name of readdirSync(out)) if (name !== 'console') rmSync(join(out, name), { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  // The store's worker thread and child process (src/store/entry-point.ts) and the process that reads documents
  // (src/ingest/parser-process-files.ts) are programs of their own, beside the file that starts them; so is the simulated herd of
  // the profile "demo" of deploy/compose.yaml.
  entryPoints: {
    main: 'src/main.ts',
    'embedded-worker': 'src/store/embedded-worker.ts',
    'initdb-process': 'src/store/initdb-process.ts',
    'parser-child': 'src/ingest/parse/parser-child.ts',
    sim: 'src/sim/main.ts',
  },
  outdir: out,
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node22',
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
})
chmodSync(join(out, 'main.js'), 0o755)
const files = Object.entries(metafile.outputs).filter(([file]) => file.endsWith('.js'))
const consoleState = await buildConsole(join(out, 'console'))
console.log(`built dist/: ${files.length} files, ${files.reduce((sum, [, { bytes }]) => sum + bytes, 0)} bytes; console ${consoleState}`)
