/** Each capability that a running gateway can switch, switched off and on while chats, embeddings and searches go on: none of them fails. */
import { afterAll, beforeAll, expect, test } from 'vitest'

import { featureKeys } from '../../src/config/schema.ts'
import { type Api, mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel, embedModel } from './scripted-fleet.ts'

let gateway: RagGateway
beforeAll(async () => {
  gateway = await startRagGateway()
  // An empty answer is never cached.
  gateway.fleet.script = () => 'An answer.'
  await gateway.collection('papers', { plan: 'The plan begins in May. It ends in June.' })
})
afterAll(() => gateway.close())

let asked = 0

/** Half of what is asked was asked before, so that caches and shared calls are on the way, too. */
function nextWords(): string {
  asked += 1
  return `question ${asked % 2 === 0 ? asked : 1}`
}

const kinds = {
  chat: (): Promise<Api> =>
    gateway.ask('POST', '/api/chat', {
      body: { model: chatModel, messages: [{ role: 'user', content: nextWords() }], options: { temperature: 0 } },
    }),
  embed: (): Promise<Api> => gateway.ask('POST', '/api/embed', { body: { model: embedModel, input: [nextWords(), nextWords()] } }),
  search: (): Promise<Api> => gateway.ask('POST', '/rag/search', { body: { collection: 'papers', query: nextWords() } }),
} as const

/** Requests of every kind under way until it is stopped; tells of each that is not answered well. */
class Load {
  readonly failed: string[] = []
  readonly #done = { chat: 0, embed: 0, search: 0 }
  #stopped = false
  readonly #loops: Promise<void[]>
  #heard: (() => void)[] = []

  constructor() {
    this.#loops = Promise.all((['chat', 'embed', 'search'] as const).flatMap((kind) => [this.#loop(kind), this.#loop(kind)]))
  }

  async #loop(kind: keyof typeof kinds): Promise<void> {
    while (!this.#stopped) {
      const { status, text } = await kinds[kind]()
      const isWhole = kind !== 'chat' || text.includes('"done":true')
      if (status !== 200 || !isWhole || text.includes('"error"')) this.failed.push(`${kind}: ${status} ${text.slice(0, 200)}`)
      this.#done[kind] += 1
      for (const wake of this.#heard.splice(0)) wake()
    }
  }

  /** Resolves when each kind was answered once more than is under way of it: one at least began after now. */
  async more(): Promise<void> {
    const from = { ...this.#done }
    const isDone = (): boolean => (['chat', 'embed', 'search'] as const).every((kind) => this.#done[kind] >= from[kind] + 3)
    while (!isDone()) await new Promise<void>((resolve) => this.#heard.push(resolve))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loops
  }
}

test('no request fails while any capability is switched off and on', { timeout: 240_000 }, async () => {
  const { features } = mustBe(200, await gateway.ask('GET', '/admin/features')).json
  const states = features as { name: string; switchable: boolean; on: boolean }[]
  const switchable = states.filter((feature) => feature.switchable)
  expect(states.length).toBe(Object.keys(featureKeys).length)
  expect(switchable.length).toBeGreaterThan(20)
  const load = new Load()
  const put = async (name: string, on: boolean): Promise<void> => {
    const state = mustBe(200, await gateway.ask('PUT', `/admin/features/${name}`, { body: { on } })).json
    expect([name, state['on']]).toEqual([name, on])
    await load.more()
    expect([name, on, load.failed]).toEqual([name, on, []])
  }
  await load.more()
  for (const { name, on } of switchable) {
    await put(name, !on)
    await put(name, on)
    mustBe(200, await gateway.ask('DELETE', `/admin/features/${name}`))
  }
  await load.stop()
  expect(load.failed).toEqual([])
})

test('a cache that is switched off gives nothing, and gives again when it is back', async () => {
  const { settings } = gateway.app
  await settings.switchFeature('cache', false, 'somebody')
  const miss = { body: { model: chatModel, messages: [{ role: 'user', content: 'again' }], options: { temperature: 0 }, stream: false } }
  mustBe(200, await gateway.ask('POST', '/api/chat', miss))
  expect(mustBe(200, await gateway.ask('POST', '/api/chat', miss)).headers.get('x-corral-cache')).not.toBe('hit')
  await settings.switchFeature('cache', null, 'somebody')
  mustBe(200, await gateway.ask('POST', '/api/chat', miss))
  expect(mustBe(200, await gateway.ask('POST', '/api/chat', miss)).headers.get('x-corral-cache')).toBe('hit')
})
