// Runs the tests and ends with the one line a person or a machine looks for: `N passed, N failed`. Arguments go to vitest (file filters, -t …).
// Exits non-zero when a test failed, an error escaped a test, or nothing ran.

import { parseCLI, startVitest, type TestModule } from 'vitest/node'

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
if (skipped > 0) console.log(`${skipped} skipped`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)

/** True for a file that failed to load, or whose hooks failed although none of its tests did. */
function isBroken(module: TestModule): boolean {
  return !module.ok() && [...module.children.allTests('failed')].length === 0
}
