// The workload W2 in small, through the whole gateway: frequent questions while documents are edited beside them.
import { expect, test } from 'vitest'

import { playEdits } from '../../bench/harness/answer-edits.ts'
import { startRagGateway } from './rag-gateway.ts'

test('under edits no answer is stale, and few are generated', async () => {
  const gateway = await startRagGateway()
  try {
    const plan = { seed: 7, requests: 150, catalogue: 5, alpha: 1, requestsPerEdit: 25, lanes: 4 }
    const played = await playEdits(gateway, plan, () => undefined)
    expect(played).toMatchObject({ stale: 0, missed: [], edits: 6 })
    expect(played.kept).toBeGreaterThan(plan.requests / 2)
    // All prompts hold most of so few documents: each edit may cost a generation per topic.
    expect(played.generations).toBeLessThanOrEqual(plan.catalogue * (played.edits + 1))
  } finally {
    await gateway.close()
  }
})
