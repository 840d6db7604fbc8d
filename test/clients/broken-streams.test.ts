/** Every client raises when its answer breaks off midway; Ollama itself would let some of them take it for complete. */
import { expect, it } from 'vitest'

import type { FaultKind } from '../../src/sim/faults.ts'
import { startGateway } from '../support/gateway.ts'
import { clientStreams, outcomeOf } from './streams.ts'

const faults: readonly FaultKind[] = ['runner-death', 'truncate', 'rst-at-frame', 'malformed-json', 'error-line']
const cases = clientStreams.flatMap((client) => faults.map((fault) => ({ ...client, fault })))

it.each(cases)('$title raises on $fault after frames were sent', async ({ pieces, fault }) => {
  const { url, sims } = await startGateway()
  for (const sim of sims) sim.control.set(fault, { atFrame: 5 })
  const { text, error } = await outcomeOf(pieces(url))
  expect(error?.message).toMatch(/node-\d/)
  expect(text).not.toBe('')
})

it.each(cases)('$title never sees $fault before the first frame when another node can answer', async ({ pieces, fault, path }) => {
  const { url, sims } = await startGateway()
  sims[0]?.control.set(fault, { atFrame: 0, path })
  for (let round = 0; round < 3; round += 1) {
    const { text, error } = await outcomeOf(pieces(url))
    expect(error).toBeNull()
    expect(text).not.toBe('')
  }
  expect(sims[0]?.stats().byPath[path]).toBeGreaterThan(0)
})

it('says in every client when the only node fails', async () => {
  const { url, sims } = await startGateway({ nodes: 1 })
  sims[0]?.control.set('server-error')
  for (const { pieces } of clientStreams) expect((await outcomeOf(pieces(url))).error).toBeInstanceOf(Error)
})
