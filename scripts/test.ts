// Runs the tests and ends with the one line a person or a machine looks for: `N passed, N failed`. Arguments go to vitest (file filters, -t …).
// Exits non-zero when a test failed, an error escaped a test, nothing ran, or a secret stands in what the tests wrote or their gateways said.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { parseCLI, startVitest, type TestModule } from 'vitest/node'

import { testSecrets } from '../test/support/test-secrets.ts'
import { SecretScan } from './secret-scan.ts'

const scan = new SecretScan(Object.values(testSecrets))
const outputs = mkdtempSync(join(tmpdir(), 'corral-test-output-'))
process.env['CORRAL_TEST_OUTPUT'] = outputs
for (const [name, stream] of Object.entries({ stdout: process.stdout, stderr: process.stderr })) {
  stream.write = new Proxy(stream.write, {
    apply(write, self, written: unknown[]): unknown {
      const [piece] = written
      scan.hear(name, piece instanceof Uint8Array ? Buffer.from(piece).toString() : String(piece))
      return Reflect.apply(write, self, written)
    },
  })
}

const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
const vitest = await startVitest('test', filter, { ...options, run: true, watch: false })

const modules = vitest.state.getTestModules()
const tests = modules.flatMap((module) => [...module.children.allTests()])
const states = tests.map((test) => test.result().state)
const passed = states.filter((state) => state === 'passed').length
const skipped = states.filter((state) => state === 'skipped').length
const failed =
  states.filter((state) => state === 'failed').length + modules.filter(isBroken).length + vitest.state.getUnhandledErrors().length

await vitest.close()
for (const file of readdirSync(outputs)) scan.hear(file, readFileSync(join(outputs, file), 'utf8'))
rmSync(outputs, { recursive: true })
scan.end()
const { findings } = scan
for (const { source, what, line } of findings) console.log(`${what} in what ${source} says: ${line}`)
if (findings.length > 0) console.log(`${findings.length} lines with secrets`)
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 || findings.length > 0 ? 1 : 0)

/** True for a file that failed to load, or whose hooks failed although none of its tests did. */
function isBroken(module: TestModule): boolean {
  return !module.ok() && [...module.children.allTests('failed')].length === 0
}
