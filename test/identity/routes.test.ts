// Every route with what it asks for. A route that is added must be added here, by somebody who thought of who may use it; the
// matrix below then tries it as every kind of caller, in two tenants.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { type Scope, scopes } from '../../src/core/principal.ts'
import { createExplanationShelf } from '../../src/http/admin/explanation-shelf.ts'
import { LiveFeed } from '../../src/http/admin/live.ts'
import { byProcess } from '../../src/http/peer-answers.ts'
import { openGuard } from '../../src/http/auth/guard.ts'
import { wantedOfOwn } from '../../src/http/auth/own-routes.ts'
import { CallRegistry } from '../../src/http/call-registry.ts'
import { ragRoutes, type RagRoutes } from '../../src/http/rag/rag-routes.ts'
import { createOwnRoutes } from '../../src/http/surface.ts'
import { Explanations } from '../../src/observe/explained.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { Overview } from '../../src/observe/overview.ts'
import { readTotals } from '../../src/observe/overview-totals.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { routes, unknownRouteFor } from '../../src/wire/routes.ts'
import { makeFleet, nodeChangesOf } from '../observe/fleet-fixture.ts'
import { operatorAct } from './fixture.ts'
import { type ClosedGateway, startClosedGateway } from './gateway.ts'
import { describePlaces } from './places.ts'
import { inventory } from './route-inventory.ts'

interface Listed {
  readonly method: string
  readonly pattern: string
  /** The scope, with `operator` where it counts only in the operator's tenant; `open`: nothing is asked. */
  readonly asks: string
}

let gateway: ClosedGateway

function ollamaRoutes(): Listed[] {
  const known = [...routes, unknownRouteFor('/api/x'), unknownRouteFor('/v1/x')]
  const asksOf = (scope: Scope | null): string => (scope === 'admin' ? 'admin, operator' : (scope ?? 'open'))
  return known.flatMap(({ pattern, methods, scope }) => methods.map((method) => ({ method, pattern, asks: asksOf(scope) })))
}

const cache = createCache({
  options: () => cacheOptions.parse({}),
  clock: systemClock,
  random: () => 0.5,
  secret: Buffer.alloc(32),
  digestOf: () => null,
  digestsOf: () => [],
  engineEpoch: () => '',
})

function documentRoutes(): RagRoutes {
  const { rag } = gateway.app
  if (rag === null) throw new Error('no documents')
  const onCall = (): void => undefined
  const deps = {
    service: rag,
    database: rag.database,
    clock: systemClock,
    newId: () => 'id',
    guard: openGuard,
    onChange: onCall,
    onWarning: onCall,
    onBug: onCall,
  }
  return ragRoutes(deps, { recording: (next) => next, limiting: (next) => next, access: (next) => next })
}

const unused = (): never => {
  throw new Error('routes are listed here, not asked')
}

function askedRoutes(): Listed[] {
  return [...documentRoutes().asked.values()].map(({ facts }) => ({ method: 'POST', pattern: facts.pattern, asks: facts.scope ?? 'open' }))
}

function ownRoutes(): Listed[] {
  const fleet = makeFleet([])
  const admin = {
    fleet,
    nodes: nodeChangesOf(fleet),
    calls: new CallRegistry(),
    clock: systemClock,
    newId: () => 'id',
    enabled: () => true,
    guard: openGuard,
  }
  const metrics = new Metrics({ labelValuesMax: () => 1, processText: null })
  const counted = () => ({ process: 'p', totals: readTotals(metrics.families, { queued: 0, inFlight: 0 }) })
  const overview = new Overview({ clock: systemClock, read: async () => byProcess([counted()]) })
  const app = createOwnRoutes({
    admin,
    explain: { explanations: new Explanations(systemClock), shelf: createExplanationShelf(null), routeHeaders: () => true },
    live: new LiveFeed({ ...admin, overview, counted, metrics: new Metrics({ labelValuesMax: () => 1, processText: null }), look: unused }),
    docs: { enabled: () => true, onBug: unused },
    console: { ...admin, signIn: { sessions: null, logins: null }, onTrouble: unused, version: '0' },
    settings: {
      settings: { page: unused, features: unused, switchFeature: unused },
      version: '0',
      look: unused,
      renderMetrics: unused,
    },
    identity: gateway.identity,
    cache,
    rag: documentRoutes(),
    usage: { database: gateway.database, secret: 'a secret', flush: () => Promise.resolve() },
    health: {
      nodes: () => [],
      draining: () => false,
      started: () => true,
      metricsEnabled: () => true,
      renderMetrics: () => Promise.reject(new Error('none')),
      onScraped: () => undefined,
    },
    onBug: () => undefined,
  })
  return app.routes.map(({ method, path }) => {
    const { scope, operatorOnly } = wantedOfOwn(method === 'ALL' ? 'GET' : method, path)
    return { method, pattern: path, asks: scope === null ? 'open' : operatorOnly ? `${scope}, operator` : scope }
  })
}

function lineOf({ method, pattern, asks }: Listed): string {
  return `${method} ${pattern}: ${asks}`
}

test.each(['/admin', '/admin/', '/admin/anything', '/metrics/', '/livez/', '/Livez', '/admin/keys/../fleet', '/admin/keysx', '/'])(
  '%s, which is no route, asks for the operator',
  (path) => {
    const { scope, operatorOnly } = wantedOfOwn('GET', path)
    expect({ scope, operatorOnly }).toEqual({ scope: 'admin', operatorOnly: true })
  },
)

interface Caller {
  readonly name: string
  readonly tenant: string
  readonly scopes: readonly Scope[]
}

const callers: readonly Caller[] = [
  { name: 'anonymous', tenant: '', scopes: [] },
  ...['acme', 'rival'].flatMap((tenant) => [
    { name: `chat of ${tenant}`, tenant, scopes: ['chat'] as const },
    { name: `embedder of ${tenant}`, tenant, scopes: ['embed'] as const },
    { name: `reader of ${tenant}`, tenant, scopes: ['models:read', 'rag:read', 'metrics'] as const },
    { name: `writer of ${tenant}`, tenant, scopes: ['models:write', 'rag:write', 'relay'] as const },
    { name: `admin of ${tenant}`, tenant, scopes: ['admin'] as const },
    { name: `everything of ${tenant}`, tenant, scopes },
  ]),
  { name: 'user of the operator', tenant: 'local', scopes: ['chat', 'embed', 'models:read'] },
  { name: 'operator', tenant: 'local', scopes },
]

function isLetIn(asks: string, { tenant, scopes: granted }: Caller): boolean {
  if (asks === 'open') return true
  if (asks === 'any') return granted.length > 0
  const [scope, operator] = asks.split(', ')
  return granted.some((each) => each === scope) && (operator === undefined || tenant === 'local')
}

/** A path of the pattern; ids are of nothing. */
function pathOf(pattern: string): string {
  return pattern
    .replace(':digest', `sha256:${'a'.repeat(64)}`)
    .replace(':model', 'small')
    .replace(/:\w+/g, 'nosuchthing0')
    .replace('*', 'nosuchroute')
}

async function wasLetIn({ method, pattern }: Listed, key: string | null): Promise<boolean> {
  const verb = method === 'ALL' ? 'GET' : method
  const headers = ['Content-Type: application/json', ...(key === null ? [] : [`Authorization: Bearer ${key}`])]
  const body = verb === 'GET' || verb === 'HEAD' ? {} : { body: '{"model":"small","input":"x","messages":[],"prompt":"x"}' }
  // Its answer has no end.
  const asked = pattern === '/admin/live' ? 'HEAD' : verb
  const answer = await gateway.ask(asked, pathOf(pattern), { headers, ...body })
  if (answer.status === 401) return false
  return !(answer.status === 403 && answer.headers['www-authenticate']?.includes('insufficient_scope') === true)
}

describePlaces((place) => {
  beforeAll(async () => {
    gateway = await startClosedGateway({ place })
  })
  afterAll(() => gateway.close())

  test('every route stands in the inventory with what it asks for, and nothing else does', () => {
    expect([...ollamaRoutes(), ...ownRoutes(), ...askedRoutes()].map(lineOf).toSorted()).toEqual(inventory.toSorted())
  })

  describe('the matrix', () => {
    const keys = new Map<string, string | null>()
    beforeAll(async () => {
      for (const tenant of ['acme', 'rival']) await gateway.identity.tenants.put(tenant, { title: `the house of ${tenant}` }, operatorAct)
      for (const { name, tenant, scopes: granted } of callers) {
        keys.set(name, tenant === '' ? null : await gateway.key({ tenant, scopes: [...granted], title: `marked ${tenant}` }))
      }
    })

    test.each(callers.map((caller) => [caller.name, caller] as const))(
      '%s is let in where it may, and nowhere else',
      async (name, caller) => {
        const wrong: string[] = []
        for (const route of [...ollamaRoutes(), ...ownRoutes(), ...askedRoutes()]) {
          const letIn = await wasLetIn(route, keys.get(name) ?? null)
          if (letIn !== isLetIn(route.asks, caller)) wrong.push(`${lineOf(route)} ${letIn ? 'let in' : 'kept out'}`)
        }
        expect(wrong).toEqual([])
      },
    )

    test.each([
      ['acme', 'rival'],
      ['rival', 'acme'],
    ])('an admin of %s gets no byte of %s on any route, whatever id he names', async (own, other) => {
      const key = keys.get(`everything of ${own}`) ?? ''
      const foreign = (keys.get(`chat of ${other}`) ?? '').slice(7, 19)
      const mine = (keys.get(`chat of ${own}`) ?? '').slice(7, 19)
      const headers = ['Content-Type: application/json', `Authorization: Bearer ${key}`]
      const tries = ownRoutes().flatMap(({ method, pattern }) =>
        [foreign, mine, other].flatMap((id) =>
          ['', `?tenant=${other}`].map((query) => ({
            verb: method === 'ALL' ? 'GET' : method,
            target: pattern.replace(/:\w+/g, id).replace('*', 'x') + query,
          })),
        ),
      )
      let seen = ''
      for (const { verb, target } of tries) {
        const answer = await gateway.ask(verb, target, { headers, ...(verb === 'GET' ? {} : { body: '{}' }) })
        // What he wrote himself may come back in an error.
        if (answer.status < 400) seen += answer.body
      }
      expect(seen).toContain(`marked ${own}`)
      expect(seen).not.toContain(`marked ${other}`)
      expect(seen).not.toContain(`"${other}"`)
      expect(seen).not.toContain(foreign)
      const after = await gateway.identity.keys.list({ ...operatorAct.by }, { tenant: other })
      expect(after.keys.every(({ revokedAt }) => revokedAt === null)).toBe(true)
    })

    test('keys of two tenants keep their own through 100,000 requests in random order, with revocations in between', async () => {
      const owned: { text: string; tenant: string; revoked: boolean }[] = []
      for (let index = 0; index < 60; index += 1) {
        const tenant = index % 2 === 0 ? 'acme' : 'rival'
        owned.push({ text: await gateway.key({ tenant }), tenant, revoked: false })
      }
      const next = randomSequence(42)
      const random = (below: number): number => Math.floor(next() * below)
      for (let turn = 0; turn < 100_000; turn += 1) {
        const owner = owned[random(owned.length)]
        if (owner === undefined) throw new Error('no owner')
        if (turn % 2_500 === 2_499) {
          await gateway.identity.keys.revoke(owner.text.slice(7, 19), 'random', operatorAct)
          owner.revoked = true
        }
        const verdict = await gateway.identity.authenticate({ kind: 'token', text: owner.text }, { method: 'GET', path: '/', query: '' })
        const tenant = verdict.kind === 'granted' ? verdict.principal.tenant : null
        if (tenant !== (owner.revoked ? null : owner.tenant)) throw new Error(`turn ${turn}: ${String(tenant)} for ${owner.tenant}`)
      }
      expect(owned.filter(({ revoked }) => revoked).length).toBeGreaterThan(10)
    })
  })
})
