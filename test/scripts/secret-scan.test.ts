// A run of the tests fails when a secret stands in what it writes, or in what a gateway of a test said.
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { SecretScan } from '../../scripts/secret-scan.ts'
import { root } from '../source-tree.ts'
import { testSecrets } from '../support/test-secrets.ts'

// Put together here, so that no line of a failed test shows one.
const key = ['corral', 'a'.repeat(12), 'b'.repeat(39)].join('_')
const token = [`eyJ${'h'.repeat(20)}`, `eyJ${'p'.repeat(40)}`, 's'.repeat(43)].join('.')
const { redisPassword } = testSecrets

function findingsIn(...pieces: readonly string[]): string[] {
  const scan = new SecretScan(Object.values(testSecrets))
  for (const piece of pieces) scan.hear('stdout', piece)
  scan.end()
  return scan.findings.map(({ what, line }) => `${what}: ${line}`)
}

test.each([
  ['an API key', `GET /k/${key}/api/tags\n`, 'an API key: GET /k/corral_a[…]/api/tags'],
  ['a signed token', `{"auth":"Bearer ${token}"}`, 'a signed token: {"auth":"Bearer eyJhhhhh[…]"}'],
  ['a password of a test', `redis://:${redisPassword}@127.0.0.1\n`, 'a password: redis://:[password]@127.0.0.1'],
  [
    'one beside what is allowed',
    `CORRAL_API_KEY=${key} corral keys create --url http://127.0.0.1:1 ${token}\n`,
    `a signed token: http://127.0.0.1:1 eyJhhhhh[…]`,
  ],
  ['colours within', `\u001b[31mcorral_${'a'.repeat(12)}\u001b[0m_${'b'.repeat(39)}\n`, 'an API key: corral_a[…]'],
])('%s is found', (_, text, finding) => {
  expect(findingsIn(text)).toEqual([finding])
  expect(findingsIn(...text.split('')), 'in single characters').toEqual([finding])
})

test.each([
  ['an id', `corral_${'a'.repeat(12)} was made\n`],
  ['the start of a token', 'eyJhbGciOiJub25lIn0.e30\n'],
  ['the first key, which is said once', `admin key ${key}\n  CORRAL_API_KEY=${key} corral keys create --url http://127.0.0.1:1\n`],
  ['the same as JSON', `{"level":"info","msg":"admin key ${key}"}\n`],
])('%s is none', (_, text) => {
  expect(findingsIn(text)).toEqual([])
})

/** A run of `scripts/test.ts` over one test that does `act`: how it ended and what it said. */
async function runOf(act: string): Promise<{ readonly code: number | null; readonly said: string }> {
  mkdirSync(join(root, '.cache'), { recursive: true })
  const folder = mkdtempSync(join(root, '.cache', 'leak-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(
    join(folder, 'one.test.ts'),
    `import { writeFileSync } from 'node:fs'\nimport { test } from 'vitest'\ntest('one', () => { ${act} })\n`,
  )
  // Not by `corral.ts`: that keeps what its processes say for the scan of this very run.
  return new Promise((resolve) => {
    execFile(process.execPath, [join(root, 'scripts/test.ts'), '--root', folder], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr })
    })
  })
}

const written = JSON.stringify([key.slice(0, 20), key.slice(20)])

test.each([
  ['on the console', `console.log(${written}.join(''))`],
  ['past the console', `process.stderr.write(${written}.join('') + '\\n')`],
  ['in what a gateway said', `writeFileSync(process.env.CORRAL_TEST_OUTPUT + '/log', ${written}.join(''))`],
])('a passing test that leaves a key %s fails the run', async (_, act) => {
  const { code, said } = await runOf(act)
  expect(said).toContain('1 passed, 0 failed')
  expect(said).toContain('1 lines with secrets')
  expect(code).toBe(1)
})

test('one that leaves none passes', async () => {
  const { code, said } = await runOf(`console.log('nothing')`)
  expect([code, said]).toEqual([0, expect.stringContaining('1 passed, 0 failed')])
})
