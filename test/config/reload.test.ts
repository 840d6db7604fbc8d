/** Reload: apply or keep, one at a time. */
import { readFile } from 'node:fs/promises'

import { expect, test } from 'vitest'

import type { LoadResult } from '../../src/config/load.ts'
import { createReloader, reloadLines, type ReloadResult } from '../../src/config/reload.ts'
import { type Config, restartKeys } from '../../src/config/schema.ts'
import { type Given, loadOk } from './loading.ts'

interface Harness {
  readonly reload: () => Promise<void>
  readonly applied: Config[]
  readonly reported: ReloadResult[]
}

async function createHarness(next: () => Promise<LoadResult>, apply?: () => Promise<void>): Promise<Harness> {
  const { config } = await loadOk({})
  const applied: Config[] = []
  const reported: ReloadResult[] = []
  const reload = createReloader({
    current: config,
    load: next,
    apply: async ({ config: wanted }) => {
      await apply?.()
      applied.push(wanted)
    },
    report: (result) => reported.push(result),
  })
  return { reload, applied, reported }
}

const answering = (given: Given) => (): Promise<LoadResult> => loadOk(given)

test('a valid configuration is applied and the changed keys are named', async () => {
  const { reload, applied, reported } = await createHarness(answering({ flags: { set: ['fleet.retry.enabled=false'] } }))
  await reload()
  expect(applied.map((config) => config.fleet.retry.enabled)).toEqual([false])
  expect(reported.flatMap(reloadLines)).toEqual(['configuration reloaded, changed: fleet.retry.enabled'])
  await reload()
  expect(reported.flatMap(reloadLines)[1]).toBe('configuration reloaded, nothing changed')
})

test('a changed header is named, never shown', async () => {
  const set = ['fleet.nodes[0].url=http://127.0.0.1:11434', 'fleet.nodes[0].headers.authorization=hunter2']
  const { reload, reported } = await createHarness(answering({ flags: { set } }))
  await reload()
  const lines = reported.flatMap(reloadLines).join('\n')
  expect(lines).toContain('fleet.nodes[0].headers.authorization')
  expect(lines).not.toContain('hunter2')
})

test('keys of the socket are reported as waiting for a restart', async () => {
  const { reload, reported } = await createHarness(answering({ flags: { port: '1234', set: ['http.stallMs=5s'] } }))
  await reload()
  expect(reported.flatMap(reloadLines)).toEqual([
    'configuration reloaded, changed: http.port, http.stallMs',
    'takes effect after a restart only: http.port',
  ])
})

test('an invalid configuration leaves the old one in place, one line per problem', async () => {
  const problems = [
    { message: 'a', where: 'corral.yaml:1:1' },
    { message: 'b', where: '' },
  ]
  const { reload, applied, reported } = await createHarness(() => Promise.resolve({ kind: 'invalid', problems }))
  await reload()
  expect(applied).toEqual([])
  expect(reported.flatMap(reloadLines)).toEqual([
    'configuration not reloaded, the old one stays: corral.yaml:1:1: a',
    'configuration not reloaded, the old one stays: b',
  ])
})

test('a configuration that cannot be applied is reported, and the next reload compares with the old one', async () => {
  let fails = true
  const { reload, reported } = await createHarness(answering({ flags: { port: '1' } }), () =>
    fails ? Promise.reject(new Error('no')) : Promise.resolve(),
  )
  await reload()
  fails = false
  await reload()
  expect(reported.flatMap(reloadLines)).toEqual([
    'configuration not reloaded, the old one stays: the new configuration could not be applied: no',
    'configuration reloaded, changed: http.port',
    'takes effect after a restart only: http.port',
  ])
})

test('calls during a reload cause exactly one more', async () => {
  let loads = 0
  const { config, origins, warnings, file } = await loadOk({})
  const { reload } = await createHarness(async () => {
    loads += 1
    await Promise.resolve()
    return { kind: 'ok', config, origins, warnings, file }
  })
  await Promise.all([reload(), reload(), reload(), reload()])
  expect(loads).toBe(2)
})

test('docs/configuration.md names every key that waits for a restart, or the section that holds it', async () => {
  const manual = await readFile('docs/configuration.md', 'utf8')
  const named = restartKeys.map((key) => [key, key.slice(0, key.lastIndexOf('.'))].some((name) => manual.includes(`\`${name}\``)))
  expect(restartKeys.filter((_, index) => named[index] !== true)).toEqual([])
})
