// Which names a simulated node takes for models of ollama.com: those that a real one does.

import { expect, test } from 'vitest'

import { isCloudName } from '../../src/sim/model-name.ts'
import { isCloudModel } from '../../src/wire/model-name.ts'
import { ask } from '../fleet/ask.ts'
import { openGateway } from '../fleet/gateway.ts'

test.each([
  ['m:cloud', true],
  ['M:CLOUD', true],
  ['m:20b-cloud', true],
  ['ns/m:20b-Cloud ', true],
  ['m-cloud', false],
  ['ns/m-cloud', false],
  ['m-cloud:latest', false],
  ['host:8443/ns/m-cloud', false],
  ['m:cloudy', false],
])('%s: %s', (name, isCloud) => {
  expect(isCloudName(name)).toBe(isCloud)
  expect(isCloudModel(name)).toBe(isCloud)
})

test('a name that only ends like one is a model that a node does not have', async () => {
  const gateway = await openGateway({ nodes: 1, warm: false })
  for (const url of [gateway.url, gateway.sim('node-1').url]) {
    const reply = await ask(`${url}/api/chat`, { model: 'm-cloud', messages: [{ role: 'user', content: 'x' }] })
    expect([reply.status, reply.text]).toEqual([404, expect.stringContaining("model 'm-cloud' not found")])
  }
})
