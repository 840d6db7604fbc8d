// A data folder that cannot be used, as a shell sees it: one sentence that says what to do, or a gateway that keeps nothing.

import { expect, test } from 'vitest'

import { exitCodes } from '../../src/cli/exit-code.ts'
import { corral, serve, start } from './corral.ts'

/** No folder can be made there, by nobody: below /proc `mkdir` says ENOENT, below a file ENOTDIR or EEXIST. */
const places = [
  ['XDG_DATA_HOME below /proc', '/proc/corral-test/corral', { XDG_DATA_HOME: '/proc/corral-test' }],
  ['HOME below /proc', '/proc/corral-test/.local/share/corral', { HOME: '/proc/corral-test' }],
  ['store.dataDir below a file', '/dev/null/corral', { CORRAL_STORE__DATA_DIR: '/dev/null/corral' }],
] as const
const stored = { CORRAL_STORE__ENABLED: 'true' }
const node = ['--port', '0', '--node', 'http://127.0.0.1:1']

test.each(places)('%s: no command begins', async (_, folder, env) => {
  const expected = { code: exitCodes.usage, stdout: '', stderr: expect.stringMatching(sentenceOf(folder)) }
  expect(await corral(['migrate', 'up'], { env })).toEqual(expected)
  expect(await corral(['backup', 'b'], { env })).toEqual(expected)
  expect(await start(['serve', ...node], { env: { ...env, ...stored, CORRAL_IDENTITY__MODE: 'keys' } }).ended).toEqual(expected)
})

test('an open gateway says so and goes on without a store', async () => {
  const [[, folder, env]] = places
  const { running, url } = await serve(node.slice(2), { env: { ...env, ...stored } })
  await running.until(new RegExp(`nothing is kept: the data folder ${folder} cannot be used`))
  expect((await fetch(`${url}/livez`)).status).toBe(200)
})

function sentenceOf(folder: string): RegExp {
  return new RegExp(
    `^corral: the data folder ${folder} cannot be used \\([^()]+\\): choose another with store\\.dataDir or XDG_DATA_HOME\\n$`,
  )
}
