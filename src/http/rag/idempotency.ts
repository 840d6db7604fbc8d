/**
 * Writes that a client may send again without doing them twice: the first answer to an `Idempotency-Key` is kept for a day and given again to the
 * same request; another request with the same key is refused. Documents have keys of their own (`ingest`), by which their jobs are found.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'

import { CorralError } from '../../core/errors.ts'
import type { Database, Transaction } from '../../store/database.ts'
import type { Migration } from '../../store/migration.ts'
import { tenantTable } from '../../store/tenancy.ts'
import { bodyOf, type Handler, sameSite } from '../own-route.ts'
import type { RagDeps } from './rag-deps.ts'
import { jsonBytesMax, type RagContext, tenantOf } from './rag-route.ts'

export const idempotencyMigrations: readonly Migration[] = [
  {
    number: 1300,
    name: 'answers to idempotency keys',
    sql: `
create table rag_idempotency (
  tenant text not null,
  key text not null,
  -- SHA-256 of method, path and body, hex.
  fingerprint text not null,
  -- Null: the request is under way, or its process died.
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (tenant, key)
);
create index rag_idempotency_created on rag_idempotency (created_at);
${tenantTable('rag_idempotency')}
`,
  },
]

const keyCharsMax = 200
/** A request without an answer after this long has died. */
const underWaySeconds = 60
const keptHours = 24
const keptHeaders = ['content-type', 'etag', 'location'] as const

const answerShape = z.object({ status: z.number(), headers: z.record(z.string(), z.string()), body: z.string() })
type KeptAnswer = z.infer<typeof answerShape>

/** The key of the request; null when it has none. Throws `invalid_request`. */
export function keyOf(context: RagContext): string | null {
  const key = context.req.header('idempotency-key')
  if (key === undefined) return null
  if (key === '' || key.length > keyCharsMax) throw new CorralError('invalid_request', `Idempotency-Key has 1 to ${keyCharsMax} characters`)
  return key
}

/** A change that foreign pages cannot make and that is done once per key. */
export function change(deps: RagDeps, handler: (context: RagContext) => Promise<Response>): Handler {
  return sameSite(async (context) => {
    const key = keyOf(context)
    if (key === null) return handler(context)
    const tenant = tenantOf(context, deps)
    const body = await bodyOf(context, deps.clock, jsonBytesMax)
    const fingerprint = fingerprintOf(context, deps, body)
    const kept = await deps.database.tx({ tenant }, (transaction) => begin(transaction, { tenant, key, fingerprint }), {
      name: 'begin_idempotent',
    })
    if (kept !== null) return responseOf(kept, { ...kept.headers, 'idempotent-replayed': 'true' })
    const answer = await handler(context).catch(async (error: unknown) => {
      // What failed changed nothing: the key is free for another try.
      await deps.database
        .tx({ tenant }, (transaction) => forget(transaction, { tenant, key }), { name: 'forget_idempotent' })
        .catch(deps.onBug)
      throw error
    })
    const told = await keptOf(answer)
    // From here on the change is made: a key whose answer cannot be kept stays taken, so that it is not made twice.
    await deps.database.tx({ tenant }, (transaction) => finish(transaction, { tenant, key, answer: told }), { name: 'finish_idempotent' })
    return responseOf(told, answer.headers)
  })
}

/** A 204 may have no body at all, not even an empty one. */
function responseOf({ status, body }: KeptAnswer, headers: Headers | Readonly<Record<string, string>>): Response {
  return new Response(body === '' ? null : body, { status, headers })
}

/** Of what is asked and who asks; the host does not count, since a client may come back by another one. */
function fingerprintOf({ req, env }: RagContext, { guard }: RagDeps, body: Buffer): string {
  const { pathname, search } = new URL(req.url)
  const asked = [guard.principalOf(env.incoming).subject, req.method, pathname, search]
  return createHash('sha256').update(JSON.stringify(asked)).update(body).digest('hex')
}

interface Begun {
  readonly tenant: string
  readonly key: string
  readonly fingerprint: string
}

/** The kept answer; null: the key is taken for this request now. Throws `conflict`. */
async function begin(transaction: Transaction, { tenant, key, fingerprint }: Begun): Promise<KeptAnswer | null> {
  const taken = await transaction.query(
    `insert into rag_idempotency as kept (tenant, key, fingerprint) values ($1, $2, $3)
      on conflict (tenant, key) do update set created_at = now(), fingerprint = excluded.fingerprint
        where kept.answer is null and kept.created_at < now() - make_interval(secs => $4)
      returning 1`,
    [tenant, key, fingerprint, underWaySeconds],
  )
  if (taken.rows.length > 0) return null
  const { rows } = await transaction.query('select fingerprint, answer from rag_idempotency where tenant = $1 and key = $2', [tenant, key])
  const [row] = rows
  if (row !== undefined && row['fingerprint'] !== fingerprint)
    throw new CorralError('conflict', 'this Idempotency-Key was used for another request: take a new one')
  // Without a row the other request failed this very moment.
  if (row === undefined || row['answer'] === null)
    throw new CorralError('conflict', 'the request with this Idempotency-Key is still under way: ask again soon')
  return answerShape.parse(row['answer'])
}

async function keptOf(answer: Response): Promise<KeptAnswer> {
  const headers: Record<string, string> = {}
  for (const name of keptHeaders) {
    const value = answer.headers.get(name)
    if (value !== null) headers[name] = value
  }
  return { status: answer.status, headers, body: await answer.text() }
}

async function finish(
  transaction: Transaction,
  { tenant, key, answer }: { tenant: string; key: string; answer: KeptAnswer },
): Promise<void> {
  const text = 'update rag_idempotency set answer = $3::jsonb where tenant = $1 and key = $2'
  await transaction.query(text, [tenant, key, JSON.stringify(answer)])
}

async function forget(transaction: Transaction, { tenant, key }: { tenant: string; key: string }): Promise<void> {
  await transaction.query('delete from rag_idempotency where tenant = $1 and key = $2 and answer is null', [tenant, key])
}

/** Removes keys after their day. */
export async function sweepIdempotency(database: Database): Promise<void> {
  await database.tx(
    'system',
    (transaction) => transaction.query('delete from rag_idempotency where created_at < now() - make_interval(hours => $1)', [keptHours]),
    { name: 'sweep_idempotent' },
  )
}
