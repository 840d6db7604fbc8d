// Upkeep beside indexes goes on when they cannot be looked after, and the trouble is told once.
import { expect, onTestFinished, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { Upkeep } from '../../src/rag/upkeep.ts'
import type { Database } from '../../src/store/database.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { until } from '../support/gateway.ts'

test('a store that fails the look at indexes keeps nothing else from its turn', async () => {
  const clock = manualClock()
  const told: string[] = []
  let rounds = 0
  const failing: Database = {
    kind: 'postgres',
    tx: () => Promise.reject(new CorralError('store_unavailable', 'away')),
    close: () => Promise.resolve(),
  }
  const upkeep = new Upkeep({
    database: failing,
    clock,
    everyMs: () => 100,
    newSuffix: () => '00000000',
    also() {
      rounds += 1
      return Promise.resolve()
    },
    onTrouble: (message) => told.push(message),
  })
  upkeep.start()
  onTestFinished(() => upkeep.close())
  clock.advance(100)
  await until(() => rounds === 1, 'the rest of upkeep had its turn')
  expect(told).toHaveLength(1)
})
