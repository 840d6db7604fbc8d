/**
 * What Corral stands on, looked at now: the database, Redis, the nodes, the issuers of tokens. A look has a deadline, waits for
 * nobody else's, and changes nothing; the nodes and issuers tell what their own upkeep found last.
 */
import type { Clock } from '../../base/clock.ts'
import type { Dependency } from '../../core/operator-settings.ts'
import { type FleetView, maskUrl } from '../../fleet/snapshot.ts'
import type { IssuerState } from '../../identity/identity.ts'
import type { Database } from '../../store/database.ts'
import { type RedisStore, skipped } from '../../store/redis-store.ts'

export interface DependenciesDeps {
  readonly fleet: Pick<FleetView, 'nodes'>
  readonly clock: Clock
  /** Null: nothing is kept. */
  readonly database: Database | null
  readonly redis: RedisStore | null
  readonly issuers: () => readonly IssuerState[]
}

const lookMsMax = 2_000

export async function lookAtDependencies(deps: DependenciesDeps): Promise<readonly Dependency[]> {
  const { database, redis, clock } = deps
  const stores = await Promise.all([
    ...(database === null ? [] : [lookAtDatabase(database, clock)]),
    ...(redis === null ? [] : [lookAtRedis(redis, clock)]),
  ])
  return [...stores, ...nodesOf(deps), ...deps.issuers().map(issuerOf)]
}

interface Look {
  readonly version: string | null
  readonly detail: Dependency['detail']
}

/** Runs `look` under the deadline; whatever it throws is the dependency's last error. */
async function timed(
  { kind, name, clock }: { readonly kind: 'database' | 'redis'; readonly name: string; readonly clock: Clock },
  look: () => Promise<Look>,
): Promise<Dependency> {
  const startedAtMs = clock.nowMs()
  const late = Promise.withResolvers<never>()
  const timer = clock.after(lookMsMax, () => late.reject(new Error(`no answer within ${lookMsMax} ms`)))
  const looking = look()
  try {
    const { version, detail } = await Promise.race([looking, late.promise])
    return { kind, name, up: true, latencyMs: Math.round((clock.nowMs() - startedAtMs) * 10) / 10, version, lastError: null, detail }
  } catch (error) {
    // One that ends later has nobody to tell.
    looking.catch(() => undefined)
    return { kind, name, up: false, latencyMs: null, version: null, lastError: wordsOf(error), detail: {} }
  } finally {
    timer.cancel()
  }
}

/** With the cause, which callers of the API are not told. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { message, cause } = error
  return cause instanceof Error && !message.includes(cause.message) ? `${message}: ${cause.message}` : message
}

function lookAtDatabase(database: Database, clock: Clock): Promise<Dependency> {
  const text = `select current_setting('server_version') as version,
    (select extversion from pg_extension where extname = 'vector') as pgvector,
    (select max(number) from corral_migrations) as schema`
  const look = async (): Promise<Look> => {
    const { rows } = await database.tx('system', ({ last }) => last(text), { name: 'look_at_database', readOnly: true })
    const row = new Map(Object.entries(rows[0] ?? {}))
    const schema = row.get('schema')
    return {
      version: textOrNull(row.get('version')),
      detail: { store: database.kind, pgvector: textOrNull(row.get('pgvector')), schema: schema === null ? null : Number(schema) },
    }
  }
  return timed({ kind: 'database', name: database.kind, clock }, look)
}

function lookAtRedis(redis: RedisStore, clock: Clock): Promise<Dependency> {
  const look = async (): Promise<Look> => {
    const told = await redis.run(({ command }) => command('INFO', 'server'))
    if (told === skipped) throw new Error(redis.cause ?? `left alone (${redis.state})`)
    const version = /^redis_version:(\S+)/m.exec(String(told))?.[1] ?? null
    const { answered, skipped: left, dataErrors } = redis.stats
    return { version, detail: { state: redis.state, answered, skipped: left, dataErrors } }
  }
  return timed({ kind: 'redis', name: 'redis', clock }, look)
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function nodesOf({ fleet, clock }: DependenciesDeps): Dependency[] {
  const nowMs = clock.nowMs()
  return fleet.nodes.map((node) => ({
    kind: 'node',
    name: node.name,
    up: node.up,
    latencyMs: node.probeMs === null ? null : Math.round(node.probeMs * 10) / 10,
    version: node.version,
    lastError: node.downReason,
    detail: {
      url: maskUrl(node.options.url),
      breaker: node.breaker.state(nowMs),
      lastSeenAgoMs: node.lastSeenMs === -Infinity ? null : Math.max(0, Math.round(nowMs - node.lastSeenMs)),
    },
  }))
}

function issuerOf({ issuer, keys, fetchedAgoMs, fetchMs, lastError }: IssuerState): Dependency {
  const up = fetchedAgoMs === null && lastError === null ? null : lastError === null
  return { kind: 'issuer', name: issuer, up, latencyMs: fetchMs, version: null, lastError, detail: { keys, fetchedAgoMs } }
}
