// Makes dist/console/, the files of the web console, when what they are made from has changed since. Vite and all that the console is made
// with are development dependencies: the packed server holds only the result, each file also compressed for those who accept that.

import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const root = join(import.meta.dirname, '..')
const source = join(root, 'src/console')
/** Below this a response fits into one packet anyway. */
const compressedFrom = 1_024

/** Builds into `out` unless the inputs are those of the last time; says what it did. */
export async function buildConsole(out: string): Promise<string> {
  const stamp = join(out, 'inputs.sha256')
  const inputs = hashInputs()
  if (existsSync(join(out, 'index.html')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) return 'unchanged'
  const [{ build }, { default: tailwind }] = await Promise.all([import('vite'), import('@tailwindcss/vite')])
  // Beside the place it is for, and put there whole: others may build, and be served from it, at the same time.
  const made = `${out}.${process.pid}`
  // Whatever the caller runs as, a test for instance: the variable decides between React for people and React for its developers.
  const environment = process.env['NODE_ENV']
  process.env['NODE_ENV'] = 'production'
  await build({
    root: source,
    // Relative: the gateway writes into the document how far its assets are (`http/console/console.ts`).
    base: './',
    configFile: false,
    logLevel: 'error',
    plugins: [tailwind()],
    mode: 'production',
    build: { outDir: made, emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  })
  if (environment === undefined) delete process.env['NODE_ENV']
  else process.env['NODE_ENV'] = environment
  compressFiles(made)
  writeFileSync(join(made, 'inputs.sha256'), inputs)
  putInPlace(made, out)
  return 'built'
}

/** Where two do this at once, both have made the same: the first stays. */
function putInPlace(made: string, out: string): void {
  rmSync(out, { recursive: true, force: true, maxRetries: 5 })
  try {
    renameSync(made, out)
  } catch (error) {
    if (!existsSync(join(out, 'index.html'))) throw error
    rmSync(made, { recursive: true, force: true })
  }
}

function hashInputs(): string {
  const files = [...globSync('**/*', { cwd: source, withFileTypes: true })]
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  const hash = createHash('sha256')
  for (const file of [...files, import.meta.filename, join(root, 'package-lock.json')].toSorted()) {
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0')
  }
  return hash.digest('hex')
}

function compressFiles(out: string): void {
  for (const name of globSync('**/*.{js,css,html,svg}', { cwd: out })) {
    const file = join(out, name)
    const bytes = readFileSync(file)
    if (bytes.length < compressedFrom) continue
    writeFileSync(`${file}.gz`, gzipSync(bytes, { level: 9 }))
    writeFileSync(`${file}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }))
  }
}
