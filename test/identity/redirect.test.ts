// Redirects of a request whose key stands in its path: they keep it, and no log has it.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type ClosedGateway, startClosedGateway } from './gateway.ts'
import { describePlaces } from './places.ts'

describePlaces((place) => {
  let gateway: ClosedGateway
  let key = ''

  beforeAll(async () => {
    gateway = await startClosedGateway({ place })
    key = await gateway.key({ scopes: ['chat', 'models:read'] })
  })
  afterAll(() => gateway.close())

  test.each([
    ['GET', '//api/tags', 307, '/api/tags'],
    ['POST', '//api/chat?a=1&b=2', 307, '/api/chat?a=1&b=2'],
    ['GET', '/api/tags/', 301, '/api/tags'],
    ['GET', '/docs', 301, '/docs/'],
    ['GET', '/console', 301, '/console/'],
  ])('of %s %s leads to a path with the key', async (method, target, status, location) => {
    const answer = await gateway.ask(method, `/k/${key}${target}`)
    expect([answer.status, answer.headers['location']]).toEqual([status, `/k/${key}${location}`])
    const bare = await gateway.ask(method, target, { headers: [`Authorization: Bearer ${key}`] })
    expect([bare.status, bare.headers['location']]).toEqual([status, location])
    expect(await gateway.logText()).not.toContain(key)
  })

  test('leads back to the gateway, whatever stands in the place of a key', async () => {
    const { headers } = await gateway.ask('GET', '/k///evil.example//api/tags')
    expect(headers['location']).toMatch(/^\/k\/\//)
  })
})
