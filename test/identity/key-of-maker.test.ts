// A key and its maker's: neither making nor rotating one takes it beyond that end while time goes on, and it can be restored at once.
import { expect, test } from 'vitest'

import type { Clock } from '../../src/base/clock.ts'
import { openPrincipal, type Principal, type Scope } from '../../src/core/principal.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { actBy, HandClock, operatorAct, type Stand, standOn, wish } from './fixture.ts'

const dayMs = 86_400_000

const admin = (expiresAtWallMs: number): Principal => ({
  ...openPrincipal,
  tenant: 'acme',
  method: 'key',
  subject: 'acmeadminkey',
  scopes: new Set<Scope>(['admin', 'chat']),
  expiresAtWallMs,
})

/** Time goes on with every look at it, as it does while the store is asked. */
function movingClock(): Clock {
  const clock = new HandClock()
  return {
    wallMs() {
      clock.pass(5)
      return clock.wallMs()
    },
    nowMs: () => clock.nowMs(),
    after: (delayMs, action) => clock.after(delayMs, action),
    sleep: (delayMs) => clock.sleep(delayMs),
  }
}

describeStores(storeKinds, (servers) => {
  async function withStand(clock: Clock, use: (identity: Stand['identity']) => Promise<void>): Promise<void> {
    const database = await servers.open()
    const { identity } = await standOn(database, { mode: 'keys' }, { clock })
    await identity.tenants.put('acme', { title: 'Acme' }, operatorAct)
    await use(identity)
    await identity.close()
    await database.close()
  }

  test.each<[string, number | null]>([
    ['as long as is usual', null],
    ['almost as long as its maker', 30 * dayMs],
  ])('a key that lives %s ends with its maker and is restored at once', async (_, lifeMs) => {
    const clock = movingClock()
    await withStand(clock, async ({ keys }) => {
      const endMs = clock.wallMs() + 30 * dayMs + 20
      const act = actBy(admin(endMs))
      const made = await keys.create(wish({ tenant: 'acme', scopes: ['chat'], lifeMs }), act)
      const rotated = await keys.rotate(made.view.id, { overlapMs: 60 * dayMs, lifeMs: null }, act)
      for (const { view } of [made, rotated]) {
        expect(Date.parse(view.expiresAt ?? '')).toBeLessThanOrEqual(endMs)
        await keys.revoke(view.id, 'a slip', act)
        expect((await keys.restore(view.id, act)).revokedAt).toBe(null)
      }
    })
  })

  test('a key that is stored with an end up to a minute beyond its maker is restored, and no other', async () => {
    await withStand(new HandClock(), async ({ keys }) => {
      const { view } = await keys.create(wish({ tenant: 'acme', lifeMs: dayMs }), operatorAct)
      const endMs = Date.parse(view.expiresAt ?? '')
      await keys.revoke(view.id, 'a slip', operatorAct)
      const restoring = (makerEndMs: number) => keys.restore(view.id, actBy(admin(makerEndMs)))
      await expect(restoring(endMs - 60_001)).rejects.toMatchObject({ code: 'insufficient_scope' })
      expect((await restoring(endMs - 60_000)).revokedAt).toBe(null)
    })
  })
})
