import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { AssistantRegistry } from '../../src/answer/assistant-registry.ts'
import { AssistantStore } from '../../src/answer/assistant-store.ts'
import { assistantWish } from '../../src/answer/assistant-wish.ts'
import { migrations } from '../../src/migrations.ts'
import { answerDefaults } from '../../src/core/assistant.ts'
import { migrate } from '../../src/store/migrate.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { describeStores, type Servers } from '../store/stores.ts'

const wish = assistantWish.parse({ name: 'Handbook', collections: ['docs'], model: 'llama3.2' })

async function open(servers: Servers) {
  const database = await servers.openForTest()
  await migrate(database, migrations, systemClock)
  let changes = 0
  const store = new AssistantStore({ database, clock: systemClock, onChanged: () => (changes += 1) })
  return { database, store, changes: () => changes }
}

test('what is left out of an assistant is the default, and what is unknown is refused', () => {
  expect(wish).toEqual({ name: 'Handbook', title: '', collections: ['docs'], model: 'llama3.2', prompt: '', settings: answerDefaults })
  for (const wrong of [
    { name: 'a/b' },
    { name: '' },
    { collections: [] },
    { collections: ['docs', 'docs'] },
    { collections: Array.from({ length: 11 }, (_, index) => `docs-${index}`) },
    { settings: { passages: 0 } },
    { setings: {} },
    { settings: { filter: [{ field: 'a', op: 'near' }] } },
  ]) {
    expect(assistantWish.safeParse({ name: 'x', collections: ['docs'], model: 'm', ...wrong }).success).toBe(false)
  }
})

describeStores(['embedded', 'postgres'], (servers) => {
  test('an assistant is made, found by any spelling, replaced and removed', async () => {
    const { store, changes } = await open(servers)
    const { stored: made, before } = await store.put('a', wish, 0)
    expect(before).toBeNull()
    expect(made).toMatchObject({ tenant: 'a', name: 'Handbook', revision: 1 })
    expect(await store.get('a', 'handbook:latest')).toEqual(made)
    const settings = { ...answerDefaults, filter: [{ field: 'team', op: 'range' as const, from: 1 }], passages: 4 }
    const { stored: replaced, before: earlier } = await store.put('a', { ...wish, settings }, 1)
    expect(earlier).toEqual(made)
    expect(replaced).toMatchObject({ revision: 2, settings, createdAtMs: made.createdAtMs })
    expect(await store.list('a', { after: null, limit: 10 })).toEqual([replaced])
    expect(await store.remove('a', 'handbook', 2)).toBe(true)
    expect(await store.remove('a', 'handbook')).toBe(false)
    expect(changes()).toBe(3)
  })

  test('an edit of an old state is refused', async () => {
    const { store } = await open(servers)
    await store.put('a', wish)
    await store.put('a', wish)
    await expect(store.put('a', wish, 1)).rejects.toMatchObject({ code: 'precondition_failed' })
    await expect(store.put('a', wish, 0)).rejects.toMatchObject({ code: 'precondition_failed' })
    await expect(store.remove('a', 'handbook', 1)).rejects.toMatchObject({ code: 'precondition_failed' })
  })

  test('a tenant sees its own alone', async () => {
    const { store } = await open(servers)
    await store.put('a', wish)
    expect(await store.get('b', 'handbook')).toBeNull()
    expect(await store.list('b', { after: null, limit: 10 })).toEqual([])
    expect(await store.remove('b', 'handbook')).toBe(false)
    expect((await store.all()).map(({ tenant }) => tenant)).toEqual(['a'])
  })

  test('every change moves the version on, and a registry sees it at once when told', async () => {
    const { store } = await open(servers)
    const registry = new AssistantRegistry({ store, clock: systemClock, lookEveryMs: 1_000, onTrouble: (message) => expect.fail(message) })
    await registry.start()
    onTestFinished(() => registry.close())
    expect(registry.find('a', 'handbook:latest')).toBeUndefined()
    const before = await store.version()
    const { stored: made } = await store.put('a', wish)
    expect(await store.version()).not.toBe(before)
    await registry.refresh()
    expect(registry.find('a', 'handbook:latest')).toEqual(made)
    expect(registry.find('b', 'handbook:latest')).toBeUndefined()
    expect(registry.of('a')).toEqual([made])
    await store.remove('a', 'handbook')
    await registry.refresh()
    expect(registry.of('a')).toEqual([])
  })
})

test('a registry looks each second, and keeps what it knows when the store is away', async () => {
  const clock = manualClock()
  const troubles: string[] = []
  const assistant = { ...wish, tenant: 'a', revision: 1, createdAtMs: 0, updatedAtMs: 0 }
  const answers = [
    () => '1',
    () => '1',
    () => {
      throw new Error('away')
    },
    () => '2',
  ]
  let reads = 0
  const store = {
    version: async () => Promise.resolve((answers.shift() ?? (() => '2'))()),
    all: () => Promise.resolve((reads += 1) === 1 ? [assistant] : []),
  }
  const registry = new AssistantRegistry({ store, clock, lookEveryMs: 1_000, onTrouble: (message) => troubles.push(message) })
  await registry.start()
  const second = async (): Promise<void> => {
    clock.advance(1_000)
    await registry.idle()
  }
  await second()
  expect([reads, registry.of('a').length]).toEqual([1, 1])
  await second()
  expect([troubles.length, registry.of('a').length]).toEqual([1, 1])
  await second()
  expect([reads, registry.of('a').length]).toEqual([2, 0])
  await registry.close()
})
