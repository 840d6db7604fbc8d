/**
 * The admin API of identity: `/admin/keys`, `/admin/tokens`, `/admin/tenants`, `/admin/audit`. An admin of any tenant acts within it, the operator on all.
 * The whole text of a key is in the one answer that makes it and nowhere else.
 */
import type { Context, Hono } from 'hono'
import { z } from 'zod'

import type { Clock } from '../../base/clock.ts'
import { formatDuration, parseDurationMs } from '../../base/units.ts'
import { CorralError } from '../../core/errors.ts'
import { limitSetShape } from '../../core/limit-set.ts'
import { cacheModes, noLimits, type Principal, scopes } from '../../core/principal.ts'
import type { Identity } from '../../identity/identity.ts'
import { keyPageMax, type KeyWish, scopeOf } from '../../identity/key-store.ts'
import { tenantPageMax } from '../../identity/tenant-store.ts'
import { parsePublicKey } from '../../identity/signing-key.ts'
import { canonicalModelPattern } from '../../wire/model-name.ts'
import type { Guard } from '../auth/guard.ts'
import type { NodeBindings } from '../server.ts'
import { actOf, type Handler, json, ownRoute, type OwnRouteDeps, parameter, readJson, sameSite } from '../own-route.ts'
import { pageLimit, parseParameters } from '../../core/query-parameters.ts'

export interface KeyRoutesDeps extends OwnRouteDeps {
  readonly identity: Identity
  readonly guard: Guard
  readonly clock: Clock
}

const lifeMsMin = 1_000
const lifeMsMax = 10 * 366 * 86_400_000

const tenantName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'expected letters, digits, . _ - (at most 63)')
const title = z.string().max(200).refine(isPlain, 'holds control characters')
/** `30d`, milliseconds, or `never`. */
const life = z.union([z.string(), z.number()]).transform((value, context): number | 'never' => {
  if (value === 'never') return value
  const lifeMs = typeof value === 'number' ? value : parseDurationMs(value)
  if (lifeMs !== null && lifeMs >= lifeMsMin && lifeMs <= lifeMsMax) return lifeMs
  context.addIssue({ code: 'custom', message: `expected a duration from ${formatDuration(lifeMsMin)} to 10 years, such as 90d, or never` })
  return z.NEVER
})

const keyShape = z.strictObject({
  tenant: tenantName.optional(),
  title: title.default(''),
  scopes: z.array(z.enum(scopes)).min(1),
  models: z.array(z.string().min(1).max(350)).max(1_000).nullable().default(null),
  nodeGroup: z.string().min(1).max(63).nullable().default(null),
  cache: z.enum(cacheModes).nullable().default(null),
  limits: limitSetShape.prefault({}),
  expiresIn: life.optional(),
  /** A line of `~/.ollama/id_ed25519.pub`: this key signs, no secret is made. */
  publicKey: z.string().max(1_000).optional(),
})
const listShape = z.object({
  tenant: z.string().max(64).optional(),
  limit: pageLimit(keyPageMax).optional(),
  before: z.string().max(200).optional(),
})
const tenantListShape = z.object({ limit: pageLimit(tenantPageMax).optional(), before: z.string().max(200).optional() })
const rotateShape = z.strictObject({ overlap: life.optional(), expiresIn: life.optional() })
/** One of them by `jti`, all of a subject, or all of the issuer; until when at the latest. */
const tokensShape = z.strictObject({
  issuer: z.string().min(1).max(1_000),
  subject: z.string().min(1).max(1_000).refine(isPlain, 'holds control characters').optional(),
  jti: z.string().min(1).max(1_000).refine(isPlain, 'holds control characters').optional(),
  until: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .optional(),
})
const revokeShape = z.strictObject({ reason: z.string().min(1).max(200).refine(isPlain, 'holds control characters') })
const tenantShape = z.strictObject({ title: title.optional(), limits: limitSetShape.optional(), suspended: z.boolean().optional() })

/** Adds the routes. Must come before `/admin/*` as a whole. */
export function mountKeys(app: Hono<NodeBindings>, deps: KeyRoutesDeps): void {
  const { identity, clock } = deps
  const on = (method: 'GET' | 'POST' | 'PUT', path: string, handler: Handler): void => {
    app.on(method, path, ownRoute(deps, method === 'GET' ? handler : sameSite(handler)))
  }
  const by = (context: Context<NodeBindings>): Principal => deps.guard.principalOf(context.env.incoming)
  on('GET', '/admin/keys', async (context) =>
    json(context, await identity.keys.list(by(context), parseParameters(listShape, context.req.query()))),
  )
  on('POST', '/admin/keys', async (context) => {
    const fields = await readJson(context, { clock, what: 'key', shape: keyShape })
    const { view, text } = await identity.keys.create(wishOf(fields, by(context)), actOf(context, deps))
    return json(context, { ...view, key: text }, 201)
  })
  on('GET', '/admin/keys/:id', async (context) => json(context, await identity.keys.get(parameter(context, 'id'), by(context))))
  on('POST', '/admin/keys/:id/rotate', async (context) => {
    const { overlap, expiresIn } = await readJson(context, { clock, what: 'rotation', shape: rotateShape })
    if (overlap === 'never' || expiresIn === 'never') throw new CorralError('invalid_request', 'a rotation takes durations, not "never"')
    const terms = { overlapMs: overlap ?? identity.options.keys.overlapMs, lifeMs: expiresIn ?? null }
    const { view, text } = await identity.keys.rotate(parameter(context, 'id'), terms, actOf(context, deps))
    return json(context, { ...view, key: text }, 201)
  })
  on('POST', '/admin/keys/:id/revoke', async (context) => {
    const { reason } = await readJson(context, { clock, what: 'revocation', shape: revokeShape })
    return json(context, await identity.keys.revoke(parameter(context, 'id'), reason, actOf(context, deps)))
  })
  on('POST', '/admin/keys/:id/restore', async (context) =>
    json(context, await identity.keys.restore(parameter(context, 'id'), actOf(context, deps))),
  )
  on('POST', '/admin/tokens/revoke', async (context) => {
    const { issuer, subject = null, jti = null, until = null } = await readJson(context, { clock, what: 'tokens', shape: tokensShape })
    return json(context, await identity.tokens.revoke({ issuer, subject, tokenId: jti, untilWallMs: until }, actOf(context, deps)))
  })
  on('GET', '/admin/tenants', async (context) =>
    json(context, await identity.tenants.list(by(context), parseParameters(tenantListShape, context.req.query()))),
  )
  on('PUT', '/admin/tenants/:tenant', async (context) => {
    const tenant = tenantName.safeParse(parameter(context, 'tenant'))
    if (!tenant.success) throw new CorralError('invalid_request', 'a tenant is named by letters, digits, . _ - (at most 63)')
    const change = await readJson(context, { clock, what: 'tenant', shape: tenantShape })
    return json(context, await identity.tenants.put(tenant.data, change, actOf(context, deps)))
  })
  on('GET', '/admin/audit', async (context) => {
    await identity.audit.flush()
    const after = Number(context.req.query('after') ?? '0')
    if (!Number.isSafeInteger(after) || after < 0) throw new CorralError('invalid_request', 'after: expected the seq of an entry')
    return exportAudit(identity, by(context), after)
  })
  on('GET', '/admin/audit/verify', async (context) => json(context, await verifyAudit(identity)))
}

/** Whether each entry holds the hash of the one before it, up to the last; `brokenAt`: the number of the first that does not. */
async function verifyAudit({ audit }: Identity): Promise<{ readonly intact: boolean; readonly brokenAt: number | null }> {
  await audit.flush()
  const brokenAt = await audit.verify()
  return { intact: brokenAt === null, brokenAt }
}

/** One JSON object per line, page by page as the reader takes them. */
function exportAudit(identity: Identity, by: Principal, after: number): Response {
  const pages = identity.audit.read(scopeOf(by), after)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pages.next()
      if (done === true) controller.close()
      else controller.enqueue(Buffer.from(value.map((row) => `${JSON.stringify(row)}\n`).join('')))
    },
    async cancel() {
      await pages.return(undefined)
    },
  })
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' } })
}

function wishOf(fields: z.infer<typeof keyShape>, by: Principal): KeyWish {
  const { tenant = by.tenant, expiresIn = null, publicKey, models, ...rest } = fields
  return {
    ...rest,
    limits: { ...noLimits, ...rest.limits },
    tenant,
    models: models?.map(canonicalModelPattern) ?? null,
    lifeMs: expiresIn,
    publicKey: publicKey === undefined ? null : readPublicKey(publicKey),
  }
}

function readPublicKey(text: string): Buffer {
  const key = parsePublicKey(text)
  if (key === null) throw new CorralError('invalid_request', 'publicKey: expected a line such as "ssh-ed25519 AAAA..."')
  return key
}

function isPlain(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return text.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(text)
}
