/**
 * A random walk of two tenants over every route of a whole gateway. Whatever one of them gets (headers, whole bodies, streams, errors, hits of
 * the cache) is searched for what belongs to the other: its mark, the ids that were made for it, and the signs of generations and vectors
 * that it got (`signing-node.ts`). What no tenant sent and both got is a leak, whoever had it first. All requests follow from the seed.
 */
import { scopes } from '../../src/core/principal.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { type Api, type RagAppOptions, type RagGateway, startRagApp } from '../rag/rag-app.ts'
import { startScriptedFleet } from '../rag/scripted-fleet.ts'
import { type Draw, drawnFrom, type IdKind, requestOn, routeOf, type RouteRequest } from './route-requests.ts'
import { inventory } from './route-inventory.ts'
import { startSigningNode } from './signing-node.ts'

export interface RouteWalk {
  readonly seed: number
  readonly operations: number
  /** Requests under way at once. */
  readonly width?: number
  /** Hears of every thousandth request. */
  readonly onProgress?: (asked: number) => void
}

export interface RouteCounts {
  asked: number
  /** Answered 2xx. */
  ok: number
  /** That named what is the other tenant's, and of these how many were not refused. */
  foreign: number
  foreignOk: number
}

export interface RoutesWalked {
  readonly asked: number
  readonly byRoute: ReadonlyMap<string, RouteCounts>
  /** What reached the wrong tenant, and on which request. */
  readonly leaks: readonly string[]
  /** Answers that held the mark of whoever asked, came from the cache, were given again for an idempotency key; faults of the gateway. */
  readonly marked: number
  readonly hits: number
  readonly replayed: number
  readonly faults: readonly string[]
  /** Requests whose answer broke off: of a document that was removed while it was read, for example. */
  readonly cut: readonly string[]
  /** Signs and ids that were seen, of which each belongs to one tenant. */
  readonly owned: number
}

/** That are for nobody but the operator's tenant, of which neither of the two is. */
export const operatorRoutes: ReadonlySet<string> = new Set(inventory.filter((line) => line.endsWith(', operator')).map(routeOf))

interface Caller {
  readonly tenant: string
  readonly mark: string
  /** Keys by role: all scopes, or one alone. */
  readonly keys: ReadonlyMap<string, string>
  readonly ids: Record<IdKind, string[]>
}

const everything = 'everything'
/** Ids that one draws from: the newest, since old ones are dropped by whoever keeps them. */
const idsMax = 200
/** Ids of requests, ids of jobs and feedback, serial numbers of generations, and vectors. */
const signs = /\b[0-9a-f]{26}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|serial-\d+|\[0\.5,[\d.e-]+,[\d.e-]+,0\.25\]/g

class RouteWalker {
  readonly #gateway: RagGateway
  readonly #walk: RouteWalk
  readonly #random: () => number
  readonly #callers: readonly Caller[]
  readonly #lines = drawnFrom(inventory)
  readonly #owners = new Map<string, string>()
  readonly #byRoute = new Map<string, RouteCounts>()
  readonly #leaks: string[] = []
  readonly #faults: string[] = []
  readonly #cut: string[] = []
  readonly #counts = { asked: 0, marked: 0, hits: 0, replayed: 0 }

  constructor(gateway: RagGateway, walk: RouteWalk, callers: readonly Caller[]) {
    this.#gateway = gateway
    this.#walk = walk
    this.#random = randomSequence(walk.seed)
    this.#callers = callers
    for (const { tenant, keys } of callers) for (const key of keys.values()) this.#owners.set(keyIdOf(key), tenant)
  }

  async run(): Promise<RoutesWalked> {
    const { operations, width = 16 } = this.#walk
    const routes = inventory.map(routeOf)
    const wander = async (): Promise<void> => {
      while (this.#counts.asked < operations) {
        // Each route once, and from then on whichever is drawn.
        const route = routes[this.#counts.asked] ?? this.#pick(this.#lines)
        this.#counts.asked += 1
        if (this.#counts.asked % 1_000 === 0) this.#walk.onProgress?.(this.#counts.asked)
        await this.#step(route)
      }
    }
    await Promise.all(Array.from({ length: width }, wander))
    return { ...this.#counts, byRoute: this.#byRoute, leaks: this.#leaks, faults: this.#faults, cut: this.#cut, owned: this.#owners.size }
  }

  async #step(route: string): Promise<void> {
    const own = this.#pick(this.#callers)
    const other = this.#callers.find((caller) => caller !== own) ?? own
    const role = this.#random() < 0.7 ? everything : this.#pick([...own.keys.keys()])
    const request = requestOn(route, this.#drawFor(own, other, role))
    const key = own.keys.get(role) ?? ''
    const { method, path, isForeign, ...rest } = request
    const answer = await this.#gateway.ask(method, path, { key, ...rest }).catch((error: unknown) => {
      // What `fetch` throws when the connection ends within an answer.
      if (!(error instanceof TypeError)) throw error
      this.#cut.push(`${method} ${path}: ${String(error.cause)}`)
      return null
    })
    if (answer === null) return
    this.#count(route, answer, isForeign)
    this.#judge({ own, other }, request, answer)
    this.#learn(own, request, answer)
  }

  #drawFor(own: Caller, other: Caller, role: string): Draw {
    return {
      tenant: own.tenant,
      mark: own.mark,
      tenants: this.#callers.map(({ tenant }) => tenant),
      role,
      below: (count) => Math.floor(this.#random() * count),
      idOf: (kind) => {
        const isForeign = this.#random() < 0.5
        const known = (isForeign ? other : own).ids[kind]
        return known.length === 0 ? { id: '0'.repeat(26), isForeign: false } : { id: this.#pick(known), isForeign }
      },
    }
  }

  #count(route: string, { status, headers }: Api, isForeign: boolean): void {
    const counts = this.#byRoute.get(route) ?? { asked: 0, ok: 0, foreign: 0, foreignOk: 0 }
    this.#byRoute.set(route, counts)
    const ok = status >= 200 && status < 300
    counts.asked += 1
    counts.ok += Number(ok)
    counts.foreign += Number(isForeign)
    counts.foreignOk += Number(isForeign && ok)
    this.#counts.hits += Number(headers.get('x-corral-cache') === 'hit')
    this.#counts.replayed += Number(headers.get('idempotent-replayed') === 'true')
  }

  #judge({ own, other }: { own: Caller; other: Caller }, request: RouteRequest, { status, text, headers }: Api): void {
    const words = `${text}\n${JSON.stringify([...headers])}`
    const sent = `${request.path} ${JSON.stringify(request.body ?? null)}`
    const leak = (what: string): void =>
      void this.#leaks.push(`${own.tenant} got ${what} by ${request.method} ${sent}: ${status} ${text.slice(0, 300)}`)
    if (words.includes(other.mark)) leak('the mark of the other')
    if (words.includes(own.mark)) this.#counts.marked += 1
    if (request.isForeign && status < 400) leak('what belongs to the other')
    if (status === 409 && text.includes('was used for another request')) leak('a conflict with a key of the other')
    if (status === 500) this.#faults.push(`${status} on ${request.method} ${sent}: ${text.slice(0, 300)}`)
    for (const [sign] of words.matchAll(signs)) {
      const owner = this.#owners.get(sign)
      if (owner === undefined) this.#owners.set(sign, own.tenant)
      else if (owner !== own.tenant && !sent.includes(sign)) leak(sign)
    }
    for (const id of other.ids.key) if (words.includes(id) && !sent.includes(id)) leak(`the key ${id}`)
  }

  /** Keeps the ids that an answer made known. */
  #learn(own: Caller, { method, path }: RouteRequest, { status, text, headers }: Api): void {
    if (status >= 300) return
    const id = headers.get('x-request-id')
    if (id !== null && /^\/(?:api|v1|rag\/chat|rag\/search)/.test(path)) this.#keep(own, 'request', id)
    if (id !== null && path === '/rag/chat') this.#keep(own, 'answer', id)
    if (method === 'POST' && path.includes('/documents')) this.#keep(own, 'job', headers.get('location')?.slice('/rag/jobs/'.length))
    if (method === 'POST' && path.startsWith('/admin/keys')) this.#keep(own, 'key', /"key":"corral_(\w{12})/.exec(text)?.[1])
    if (path.startsWith('/admin/requests/history')) this.#keep(own, 'cursor', /"next":"([^"]+)"/.exec(text)?.[1])
  }

  #keep({ ids }: Caller, kind: IdKind, id: string | undefined): void {
    if (id === undefined) return
    ids[kind].push(id)
    if (ids[kind].length > idsMax) ids[kind].shift()
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }
}

const keyIdOf = (key: string): string => key.slice(7, 19)

async function makeCaller(gateway: RagGateway, tenant: string): Promise<Caller> {
  const keys = new Map([[everything, await gateway.key({ tenant, scopes: [...scopes] })]])
  for (const scope of scopes) keys.set(scope, await gateway.key({ tenant, scopes: [scope] }))
  return { tenant, mark: `MARK-OF-${tenant.toUpperCase()}`, keys, ids: { request: [], answer: [], job: [], key: [], cursor: [] } }
}

/** Two new tenants on a new gateway over these stores, which are closed with it; resolves at the end of the walk. */
export async function walkRoutes(stores: Pick<RagAppOptions, 'database' | 'redis'>, walk: RouteWalk): Promise<RoutesWalked> {
  const fleet = await startScriptedFleet()
  const node = await startSigningNode(fleet.url)
  const gateway = await startRagApp({ ...stores, identity: { mode: 'keys' }, nodeUrls: [node.url] })
  try {
    const callers = [await makeCaller(gateway, 'tulip'), await makeCaller(gateway, 'dahlia')]
    return await new RouteWalker(gateway, walk, callers).run()
  } finally {
    await gateway.close()
    await node.close()
    await fleet.close()
  }
}
