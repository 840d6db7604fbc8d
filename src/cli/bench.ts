/** `corral bench`: runs the benchmarks of a checkout; a package carries none. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { CliError, exitCodes } from './exit-code.ts'

/** Passes `args` on to `bench/run.ts` and ends as it ends. */
export async function benchCommand(args: readonly string[]): Promise<void> {
  // From src/cli/, or from the built dist/.
  const places = ['../../bench/run.ts', '../bench/run.ts'].map((place) => fileURLToPath(new URL(place, import.meta.url)))
  const script = places.find((place) => existsSync(place))
  if (script === undefined) {
    throw new CliError(
      exitCodes.failure,
      'the benchmarks are not part of this installation: run "corral bench" in a checkout of the repository',
    )
  }
  const child = spawn(process.execPath, [script, ...args], { stdio: 'inherit' })
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.failure)))
  })
  process.exitCode = exitCode
}
