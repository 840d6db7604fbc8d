/**
 * What it costs to know who asks. In this process: reading a request's headers and judging the credential in them, for a key and a token
 * that were seen before and for tokens seen the first time (RS256 and ES256). Through HTTP: the CPU of whole requests to a
 * gateway that asks for credentials beside one that does not.
 */
import { randomFillSync } from 'node:crypto'

import { systemClock } from '../src/base/clock.ts'
import { noLimits, openPrincipal } from '../src/core/principal.ts'
import { createIdentity } from '../src/identity/identity.ts'
import type { Identity } from '../src/identity/identity.ts'
import { identityOptions } from '../src/identity/options.ts'
import { readPresented } from '../src/identity/presented.ts'
import { migrations } from '../src/migrations.ts'
import { migrate } from '../src/store/migrate.ts'
import { storeOptions } from '../src/store/options.ts'
import { createDatabase } from '../src/store/store.ts'
import { firstClosed, newKey, sharedSecret } from './harness/closed-gateway.ts'
import { costOf } from './harness/cpu-per-call.ts'
import type { CallCost, CallPlan } from './harness/cpu-per-call.ts'
import { manySlots } from './harness/gateway.ts'
import { closed, failedOf, middleOf, playRounds, roundsTable } from './harness/interleaved.ts'
import type { AimedTarget } from './harness/interleaved.ts'
import { issuerSection, startIssuer } from './harness/issuer.ts'
import type { Issuer } from './harness/issuer.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { startPooledPostgres } from './harness/services.ts'
import type { Postgres } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { Stage } from './harness/stage.ts'

const signedParts = { method: 'POST', path: '/api/chat', query: '' }

/** A request's headers as a client library sends them. */
function rawHeaders(token: string): string[] {
  const before = ['Host', '127.0.0.1:11435', 'Content-Type', 'application/json', 'Accept', '*/*', 'User-Agent', 'ollama-python/0.6.4']
  return [
    ...before,
    'Accept-Encoding',
    'gzip, deflate',
    'Connection',
    'keep-alive',
    'Authorization',
    `Bearer ${token}`,
    'Content-Length',
    '140',
  ]
}

/** As the door does: whether the credential may be looked up, then what it is worth. */
function judge(identity: Identity, headers: readonly string[]): unknown {
  const presented = readPresented(headers, null)
  identity.wasGood(presented, signedParts)
  return identity.authenticate(presented, signedParts)
}

/** Throws unless the credential is taken: a refusal is cheap, and would look like a good figure. */
async function mustGrant(identity: Identity, headers: readonly string[]): Promise<void> {
  const verdict = await identity.authenticate(readPresented(headers, null), signedParts)
  if (verdict.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(verdict)}`)
}

async function identityOn(
  postgres: Postgres,
  issuers: readonly Issuer[],
): Promise<{ identity: Identity; key: string; close: () => Promise<void> }> {
  const options = { ...storeOptions.parse({ url: postgres.directUrl }), dataDir: '' }
  const database = await createDatabase(options, { clock: systemClock, random: Math.random, report: () => {} })
  await migrate(database, migrations, systemClock)
  const identity = createIdentity({
    options: identityOptions.parse({ mode: 'both', issuers: issuers.map(issuerSection) }),
    database,
    secret: sharedSecret,
    clock: systemClock,
    fill: (bytes) => void randomFillSync(bytes),
    events: { decided: () => {}, upkeepFailed: () => {} },
  })
  await identity.start()
  const rights = { scopes: ['chat' as const], models: null, nodeGroup: null, cache: null, limits: noLimits }
  const wish = { ...rights, tenant: 'local', title: 'bench', lifeMs: 86_400_000, publicKey: null }
  const { text } = await identity.keys.create(wish, { by: openPrincipal, requestId: 'bench', address: '127.0.0.1' })
  const close = async (): Promise<void> => {
    await identity.close()
    await database.close()
  }
  return { identity, key: text ?? '', close }
}

/** The middle cost of calls on credentials that are known. */
async function seenCost(identity: Identity, token: string, plan: CallPlan): Promise<CallCost> {
  const headers = rawHeaders(token)
  await mustGrant(identity, headers)
  const cost = await costOf(() => judge(identity, headers), plan)
  await mustGrant(identity, headers)
  return cost
}

/** The middle cost of tokens that nobody showed before; they are signed beforehand. */
async function firstCost(identity: Identity, issuer: Issuer, plan: CallPlan): Promise<CallCost> {
  const headers = Array.from({ length: plan.calls * (plan.batches + 1) }, () => rawHeaders(issuer.token()))
  await mustGrant(identity, rawHeaders(issuer.token()))
  return costOf((index) => judge(identity, headers[index] ?? []), plan)
}

type Costs = Readonly<Record<'key' | 'jwtSeen' | 'jwtFirstRs256' | 'jwtFirstEs256', CallCost>>

async function measureCalls(postgres: Postgres, [rsa, ec]: readonly [Issuer, Issuer], isQuick: boolean): Promise<Costs> {
  const { identity, key, close } = await identityOn(postgres, [rsa, ec])
  const seen = { calls: 20_000, batches: isQuick ? 7 : 21 }
  const first = { calls: 200, batches: isQuick ? 5 : 15 }
  try {
    return {
      key: await seenCost(identity, key, seen),
      jwtSeen: await seenCost(identity, rsa.token(), seen),
      jwtFirstRs256: await firstCost(identity, rsa, first),
      jwtFirstEs256: await firstCost(identity, ec, first),
    }
  } finally {
    await close()
  }
}

function issuerEnv({ name, jwksUrl, algorithm }: Issuer): Record<string, string> {
  const prefix = 'CORRAL_IDENTITY__ISSUERS__0__'
  const section = { ISSUER: name, JWKS_URL: jwksUrl, AUDIENCE__0: 'corral', ALGORITHMS__0: algorithm, SCOPES__DEFAULT__0: 'chat' }
  return Object.fromEntries(Object.entries(section).map(([key, value]) => [prefix + key, value]))
}

/** One gateway that takes both kinds of credential, and one that takes anybody. */
async function targets(stage: Stage, postgres: Postgres, issuer: Issuer): Promise<AimedTarget[]> {
  const herd = await stage.mock(8)
  const { gateway, adminKey } = await firstClosed(stage, herd.ports, { postgres, mode: 'both', env: issuerEnv(issuer) })
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
  return [
    { ...(await stage.gateway(herd.ports, manySlots)), name: 'open' },
    { ...gateway, name: 'key', load: bearer(await newKey(gateway.port, adminKey)) },
    { ...gateway, name: 'jwt', load: bearer(issuer.token()) },
  ]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
    const issuers = [await stage.service(startIssuer('RS256')), await stage.service(startIssuer('ES256'))] as const
    const costs = await measureCalls(postgres, issuers, options.isQuick)
    options.log(JSON.stringify(costs))
    const plan = { loads: closed(10), rounds: options.isQuick ? 3 : 9, forMs: options.isQuick ? 1_500 : 2_500 }
    const found = await playRounds(await stage.driver(), { targets: await targets(stage, postgres, issuers[0]), ...plan }, options)
    const added = (name: string): number => middleOf(found, [`${name} c=10`, 'open c=10'], (own, open) => own.cpuUs - open.cpuUs)
    const ratio = (name: string): number => middleOf(found, [`${name} c=10`, 'open c=10'], (own, open) => own.cpuUs / open.cpuUs)
    const bars = [
      atMost('key, µs of CPU that it adds to a request over HTTP', rounded(added('key')), 15),
      atMost('JWT already seen, µs of CPU that it adds to a request over HTTP', rounded(added('jwt')), 15),
      atMost('key, µs of CPU in the process', rounded(costs.key.cpuUs), 15),
      atMost('JWT already seen, µs of CPU in the process', rounded(costs.jwtSeen.cpuUs), 15),
      atMost('JWT seen first (RS256), µs of CPU', rounded(costs.jwtFirstRs256.cpuUs), 400),
      atMost('JWT seen first (ES256), µs of CPU', rounded(costs.jwtFirstEs256.cpuUs), 400),
      atMost('failed requests', failedOf(found, 'key') + failedOf(found, 'jwt'), 0),
    ]
    const http = { addedUs: { key: added('key'), jwt: added('jwt') }, ratioToOpen: { key: ratio('key'), jwt: ratio('jwt') } }
    return benchResult('auth', options, { bars, data: { calls: costs, http, ...roundsTable(found) } })
  })
}
