import { expect, it } from 'vitest'
import { createIdentity } from '../../src/identity/identity.ts'
import { identityOptions } from '../../src/identity/options.ts'
import { randomFillSync } from 'node:crypto'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { embeddedOn } from '../store/stores.ts'
import { HandClock, operatorAct, secret, standOn } from './fixture.ts'
import { issuerSection, makeIssuer } from './issuer.ts'

it('token of suspended tenant asked before start', async () => {
  const inner = embeddedOn(await embeddedFolder())
  await inner.open()
  const issuer = makeIssuer()
  const sections: any = { mode: 'jwt', issuers: [issuerSection(issuer)] }
  const first = await standOn(inner, sections, { fetchText: async () => issuer.keySet() })
  const token = issuer.token()
  const parts = { method: 'GET', path: '/api/tags', query: '' }
  const v: any = await first.identity.authenticate({ kind: 'token', text: token }, parts)
  console.log('tenant', v.principal?.tenant, v.kind)
  await first.identity.tenants.put(v.principal.tenant, { suspended: true }, operatorAct)
  console.log('after suspend', (await first.identity.authenticate({ kind: 'token', text: token }, parts) as any).reason)
  await first.identity.close()
  // second process: not started yet (database slow to come)
  const clock = new HandClock()
  const second = createIdentity({ options: identityOptions.parse(sections), database: inner, secret, clock, fill: (b: any) => void randomFillSync(b), events: { decided() {}, upkeepFailed() {} }, fetchText: async () => issuer.keySet() })
  console.log('before start', (await second.authenticate({ kind: 'token', text: token }, parts) as any).kind)
  await second.start()
  console.log('after start', (await second.authenticate({ kind: 'token', text: token }, parts) as any).kind)
  for (let i = 0; i < 5; i++) { clock.pass(1_100); await new Promise((r) => setTimeout(r, 50)) }
  console.log('5 polls later', (await second.authenticate({ kind: 'token', text: token }, parts) as any).kind)
  await second.close()
  await inner.close()
  expect(1).toBe(1)
})
