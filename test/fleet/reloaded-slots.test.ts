// A reload moves the slots of models that the gateway has known for long.

import { expect, test } from 'vitest'

import { configSchema } from '../../src/config/schema.ts'
import { chatInTurn, openGateway } from './gateway.ts'

test('slotsAssumed and slotsMax of a reload hold at once for models that were answered before', async () => {
  const gateway = await openGateway({ nodes: 1 })
  const { app, sims } = gateway
  await chatInTurn(gateway, 1)
  const slots = (): number => app.fleet.pools.get('llama3.2:3b').slots
  expect(slots()).toBe(4)
  const reload = (admission: Readonly<Record<string, number>>): Promise<void> => {
    const nodes = sims.map(({ url, name }) => ({ url, name }))
    return app.reload(configSchema.parse({ http: { port: 0 }, fleet: { nodes, admission }, observe: { log: { level: 'silent' } } }))
  }
  await reload({ slotsAssumed: 2 })
  expect(slots()).toBe(2)
  await reload({ slotsAssumed: 3, slotsMax: 1 })
  expect(slots()).toBe(1)
})
