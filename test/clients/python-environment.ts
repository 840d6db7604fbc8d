/**
 * A Python with the published packages `ollama`, `openai` and `anthropic` for the tests of them, in a folder of its own below the system's temporary
 * folder. It is made once and kept; where Python, pip or the package index is missing the reason is told instead.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const packages = ['ollama==0.6.3', 'openai==3.57.0', 'anthropic==2.14.0']
const folder = join(tmpdir(), `corral-test-python-${packages.join('-').replaceAll('==', '-')}`)

export type Python = { readonly python: string } | { readonly missing: string }

/** The environment, made when it is not there yet. Takes some seconds the first time. */
export async function findPython(): Promise<Python> {
  const python = join(folder, 'bin', 'python')
  try {
    if (!existsSync(python)) await make()
    await run(python, ['-c', 'import ollama, openai, anthropic'])
    return { python }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { missing: text.split('\n').slice(0, 2).join(' ') }
  }
}

/** Made beside its place and moved there whole, so that two test runs do not see half of one. A virtual environment's own Python finds its packages by its place. */
async function make(): Promise<void> {
  const half = await mkdtemp(`${folder}-`)
  try {
    await run('python3', ['-m', 'venv', half], { timeout: 60_000 })
    await run(join(half, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages], {
      timeout: 180_000,
    })
    await rename(half, folder)
  } catch (error) {
    await rm(half, { recursive: true, force: true })
    if (!existsSync(folder)) throw error
  }
}
