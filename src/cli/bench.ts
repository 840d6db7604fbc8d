/** `corral bench`: runs the benchmarks of a checkout; a package carries none. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { CliError, exitCodes } from './exit-code.ts'

/** Passes `args` on to `bench/run.ts` and ends as it ends. */
export async function benchCommand(args: readonly string[]): Promise<void> {
  const script = fileURLToPath(new URL('../../bench/run.ts', import.meta.url))
  if (!existsSync(script)) {
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
