// An unknown id and a wrong secret cost the same; a malformed key costs no look-up (B25).
import { randomFillSync } from 'node:crypto'

import { expect, test } from 'vitest'

import { noLimits } from '../../src/core/principal.ts'
import { checkKey, readKey } from '../../src/identity/key-check.ts'
import type { StoredKey } from '../../src/identity/key-rows.ts'
import { makeKey } from '../../src/identity/key.ts'
import { type Digest, Peppers } from '../../src/identity/pepper.ts'
import { HandClock, secret } from './fixture.ts'

const fill = (bytes: Uint8Array): void => void randomFillSync(bytes)
const peppers = new Peppers(secret)
const known = makeKey(fill)
const stored: StoredKey = {
  view: {
    id: known.id,
    tenant: 'local',
    kind: 'secret',
    title: '',
    scopes: ['chat'],
    models: null,
    nodeGroup: null,
    cache: null,
    limits: noLimits,
    createdAt: '2026-11-01T00:00:00.000Z',
    createdBy: null,
    expiresAt: null,
    lastUsedAt: null,
    rotatedFrom: null,
    revokedAt: null,
    revokedReason: null,
    restorableUntil: null,
  },
  pepper: peppers.current,
  digestHex: peppers.digest(known.secret).bytes.toString('hex'),
  tenantLimits: noLimits,
  suspended: false,
}

/** Checks and counts: look-ups, digests made. */
async function work(key: { id: string; secret: string }) {
  const count = { looks: 0, digests: 0 }
  const checked = await checkKey(key, {
    findSecret: (id) => {
      count.looks += 1
      return Promise.resolve(id === known.id ? stored : null)
    },
    peppers: {
      matches(text: string, digest: Digest | null) {
        count.digests += 1
        return peppers.matches(text, digest)
      },
    },
    clock: new HandClock(),
  })
  return { ...count, result: checked.kind === 'denied' ? checked.reason : checked.kind }
}

test('an unknown id costs what a wrong secret and a right one cost', async () => {
  const other = makeKey(fill)
  const right = await work(known)
  const wrong = await work({ id: known.id, secret: other.secret })
  const unknown = await work(other)
  expect([right.result, wrong.result, unknown.result]).toEqual(['granted', 'wrong_secret', 'unknown'])
  for (const { looks, digests } of [right, wrong, unknown]) expect({ looks, digests }).toEqual({ looks: 1, digests: 1 })
})

test.each([
  `corral_${'a'.repeat(12)}_${'b'.repeat(39)}`,
  known.text.slice(0, -1),
  `${known.text}a`,
  known.text.replace('corral_', 'CORRAL_'),
  "corral_' or 1=1 --",
])('%s is told without a look-up', (text) => {
  expect(readKey(text)).toEqual({ kind: 'denied', reason: 'malformed' })
})
