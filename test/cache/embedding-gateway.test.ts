/** Embeddings in a whole gateway before simulated nodes: the cache takes a batch apart, the fleet spreads what is left of it. */
import { expect, it } from 'vitest'

import { ask } from '../fleet/ask.ts'
import { expectIdle, type Gateway } from '../fleet/gateway.ts'
import { describeBacked } from './backed.ts'

const model = 'nomic-embed-text'
const texts = Array.from({ length: 64 }, (_, index) => `A sentence about herds, number ${index}.`)

function askedAll({ sims }: Gateway, path: string): number[] {
  return sims.map((sim) => sim.stats().byPath[path] ?? 0)
}

const withoutTimes = (text: string): string => text.replace(/,"total_duration".*/, '')

describeBacked((openGateway) => {
  it('E1 computes only the new texts of a batch, over several nodes, and answers as one node would', async () => {
    const gateway = await openGateway({ cache: {}, nodes: 3 })
    const url = `${gateway.url}/api/embed`
    const first = await ask(url, { model, input: texts.slice(0, 8) })
    expect(first.headers['x-corral-cache']).toBe('miss')
    const before = askedAll(gateway, '/api/embed')
    const second = await ask(url, { model, input: texts })
    expect(second.headers['x-corral-cache']).toBe('partial')
    expect(second.headers['x-corral-route']).toMatch(/^split/)
    expect(askedAll(gateway, '/api/embed').filter((count, index) => count > (before[index] ?? 0)).length).toBeGreaterThan(1)
    const alone = await openGateway({ cache: {}, nodes: 1 })
    const fresh = await ask(`${alone.url}/api/embed`, { model, input: texts })
    expect(withoutTimes(second.text)).toBe(withoutTimes(fresh.text))
    const after = askedAll(gateway, '/api/embed')
    const third = await ask(url, { model, input: texts.toReversed() })
    expect(third.headers['x-corral-cache']).toBe('hit')
    expect(third.node).toBeNull()
    expect(askedAll(gateway, '/api/embed')).toEqual(after)
    await expectIdle(gateway)
  })

  it.each([
    ['/api/embed', { input: texts[0] }],
    ['/api/embed', { input: texts.slice(0, 3), dimensions: 16 }],
    ['/v1/embeddings', { input: texts.slice(0, 3) }],
    ['/v1/embeddings', { input: texts[0], encoding_format: 'base64' }],
    ['/api/embeddings', { prompt: texts[0] }],
  ])('E2 %s %o is the same live and out of the cache', async (path, fields) => {
    const gateway = await openGateway({ cache: {} })
    const live = await ask(gateway.url + path, { model, ...fields })
    const hit = await ask(gateway.url + path, { model, ...fields })
    expect(live.status, live.text).toBe(200)
    expect([live, hit].map(({ headers }) => headers['x-corral-cache'])).toEqual(['miss', 'hit'])
    expect(withoutTimes(hit.text)).toBe(withoutTimes(live.text))
    expect(hit.headers['content-type']).toBe(live.headers['content-type'])
    await expectIdle(gateway)
  })

  it('shares vectors between routes, in the bytes of each', async () => {
    const gateway = await openGateway({ cache: {} })
    const plain = await openGateway({ cache: {} })
    await ask(`${gateway.url}/api/embed`, { model, input: texts.slice(0, 2) })
    for (const fields of [{}, { encoding_format: 'base64' }]) {
      const body = { model, input: texts.slice(0, 2), ...fields }
      const shared = await ask(`${gateway.url}/v1/embeddings`, body)
      const own = await ask(`${plain.url}/v1/embeddings`, { ...body, user: 'somebody' })
      expect(shared.headers['x-corral-cache']).toBe('hit')
      expect(shared.text).toBe(own.text)
    }
  })

  it('passes on what a node says to a request it refuses', async () => {
    const gateway = await openGateway({ cache: {} })
    const unknown = await ask(`${gateway.url}/api/embed`, { model: 'unheard-of', input: 'x' })
    expect([unknown.status, unknown.headers['x-corral-cache']]).toEqual([404, 'bypass'])
    const wrong = await ask(`${gateway.url}/api/embed`, { model, input: [1] })
    expect([wrong.status, wrong.text]).toEqual([400, '{"error":"invalid input type"}'])
  })
})
