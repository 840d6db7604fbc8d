// While half of a pool is healthy no client sees a failure before the first frame, however the other half fails.

import { describe, expect, test } from 'vitest'

import type { FaultKind } from '../../src/sim/faults.ts'
import { ask, chatBody, isComplete } from './ask.ts'
import { asked, expectIdle, openGateway } from './gateway.ts'

const chat = '/api/chat'

describe('a burst of 64 requests', () => {
  const faults: readonly FaultKind[] = [
    'rst-before-head',
    'half-closed',
    'instant-503',
    'missing-model',
    'server-error',
    'error-line',
    'truncate',
  ]

  test.each(faults)('is answered whole although four of eight nodes answer %s', async (kind) => {
    const gateway = await openGateway({ nodes: 8, numParallel: 16 })
    for (const sim of gateway.sims.slice(0, 4)) sim.control.set(kind, { path: chat, atFrame: 0 })
    const replies = await Promise.all(Array.from({ length: 64 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    expect(gateway.sims.slice(0, 4).some(({ name }) => asked(gateway, name, chat) > 0)).toBe(true)
    await expectIdle(gateway)
  })
})
