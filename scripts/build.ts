// Makes dist/, the JavaScript that the published package runs (Node refuses TypeScript below node_modules). Dependencies stay outside, to be
// installed and patched as usual; each lazily imported command becomes a file of its own, so that `serve` still loads only what it needs.

import { build } from 'esbuild'
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist')

rmSync(out, { recursive: true, force: true })
const { metafile } = await build({
  absWorkingDir: root,
  // The store's worker thread and child process (src/store/entry-point.ts) and the process that reads documents
  // (src/ingest/parser-process-files.ts) are programs of their own, beside the file that starts them.
  entryPoints: ['src/main.ts', 'src/store/embedded-worker.ts', 'src/store/initdb-process.ts', 'src/ingest/parse/parser-child.ts'],
  entryNames: '[name]',
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
console.log(`built dist/: ${files.length} files, ${files.reduce((sum, [, { bytes }]) => sum + bytes, 0)} bytes`)
