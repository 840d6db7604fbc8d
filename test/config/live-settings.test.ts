/** Switches over restarts, replicas and reloads, on a store made of a map. */
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { RowStore } from '../../src/base/followed-rows.ts'
import { LiveSettings } from '../../src/config/live-settings.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Switch } from '../../src/core/operator-settings.ts'
import { loadOk } from './loading.ts'

function storeOf(rows: Map<string, Switch>): RowStore<Switch> {
  return {
    shared: true,
    load: () => Promise.resolve(new Map(rows)),
    write(name, wanted) {
      if (wanted === null) rows.delete(name)
      else rows.set(name, wanted)
      return Promise.resolve()
    },
  }
}

async function createHarness(store: RowStore<Switch> | null, apply: (config: Config) => void = () => undefined) {
  const applied: Config[] = []
  const settings = new LiveSettings({
    initial: await loadOk({}),
    clock: systemClock,
    store,
    apply(config) {
      apply(config)
      applied.push(config)
      return Promise.resolve()
    },
    tell: () => Promise.resolve(),
    onTrouble: (message, cause) => {
      throw new Error(message, { cause })
    },
  })
  const state = (name: string) => settings.features().find((feature) => feature.name === name)
  return { settings, applied, state }
}

test('a switch is there after a restart, and another replica hears of it', async () => {
  const rows = new Map<string, Switch>()
  const first = await createHarness(storeOf(rows))
  const second = await createHarness(storeOf(rows))
  await Promise.all([first.settings.start(), second.settings.start()])
  await first.settings.switchFeature('retry', false, 'ann')
  await expect.poll(() => second.state('retry')?.on, { timeout: 30_000 }).toBe(false)
  first.settings.close()
  const restarted = await createHarness(storeOf(rows))
  await restarted.settings.start()
  expect(restarted.state('retry')).toMatchObject({ on: false, configured: true, kept: true })
  expect(restarted.applied.map(({ fleet }) => fleet.retry.enabled)).toEqual([false])
  await restarted.settings.switchFeature('retry', null, 'ann')
  await expect.poll(() => second.state('retry')?.on, { timeout: 30_000 }).toBe(true)
  for (const { settings } of [second, restarted]) settings.close()
})

test('a reload keeps what is switched, and a reset gives what was loaded last', async () => {
  const { settings, applied, state } = await createHarness(null)
  await settings.switchFeature('retry', true, 'ann')
  await settings.reload(await loadOk({ flags: { set: ['fleet.retry.enabled=false', 'http.port=1'] } }))
  expect(state('retry')).toMatchObject({ on: true, configured: false, kept: false })
  expect(settings.page()).toMatchObject({
    waitingForRestart: ['http.port'],
    lastReload: { kind: 'applied', changed: ['fleet.retry.enabled', 'http.port'] },
  })
  await settings.switchFeature('retry', null, 'ann')
  expect(state('retry')).toMatchObject({ on: false, origin: 'flag --set fleet.retry.enabled' })
  expect(applied.at(-1)?.fleet.retry.enabled).toBe(false)
})

test('a switch touches no section beside its own, and one that cannot be applied changes nothing', async () => {
  const { settings, applied, state } = await createHarness(null, ({ cache }) => {
    if (!cache.enabled) throw new Error('no')
  })
  await settings.switchFeature('retry', false, 'ann')
  await settings.switchFeature('retry', null, 'ann')
  expect(applied[0]?.fleet.nodes).toBe(applied[1]?.fleet.nodes)
  expect(applied[0]?.cache).toBe(applied[1]?.cache)
  await expect(settings.switchFeature('cache', false, 'ann')).rejects.toThrow('no')
  expect(state('cache')).toMatchObject({ on: true, origin: 'default', kept: null })
  await settings.switchFeature('retry', false, 'ann')
  expect(state('retry')?.on).toBe(false)
})
