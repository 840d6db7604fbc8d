/**
 * What all of Corral's own routes share: errors as problem documents, a JSON body read within bounds and held against a shape,
 * and the rule that a foreign web page cannot make a change with a plain form.
 */
import type { Context } from 'hono'
import { routePath } from 'hono/route'
import type { IncomingMessage } from 'node:http'
import type { z } from 'zod'

import type { Clock } from '../base/clock.ts'
import { CorralError, toCorralError } from '../core/errors.ts'
import type { Act } from '../identity/key-store.ts'
import type { Told } from '../observe/events.ts'
import { renderError } from '../wire/render-error.ts'
import type { Guard } from './auth/guard.ts'
import { readBody } from './body.ts'
import { decodeBody } from './decode-json.ts'
import type { NodeBindings } from './server.ts'
import { noteError, noteRoute, requestIdOf, toldOf } from './traffic.ts'

export type Handler = (context: Context<NodeBindings>) => Response | Promise<Response>

export interface OwnRouteDeps {
  readonly newId: () => string
  /** Keeps which rights were refused. */
  readonly guard: Pick<Guard, 'noteRefusal'>
  /** False: the routes answer as if they were not there. Left out: they are on. */
  readonly enabled?: () => boolean
  readonly onBug?: (error: unknown, told: Told) => void
}

/** Bytes of a request body where nothing else is said; what people send is small. */
const bodyBytesMax = 65_536
const bodyPauseMsMax = 10_000
const emptyObject = Buffer.from('{}')

const noStore = { 'cache-control': 'no-store' }

/** An answer that no cache keeps. */
export function json(context: Context<NodeBindings>, value: object, status: 200 | 201 = 200): Response {
  return context.json(value, status, noStore)
}

export function parameter(context: Context<NodeBindings>, name: string): string {
  return context.req.param(name) ?? ''
}

/** Turns whatever a handler throws into a problem document. */
export function ownRoute(deps: OwnRouteDeps, handler: Handler): Handler {
  return async (context) => {
    const { incoming, outgoing } = context.env
    noteRoute(outgoing, routePath(context))
    try {
      if (deps.enabled?.() === false) throw new CorralError('route_not_found', 'the operator routes are switched off (features.admin)')
      return await handler(context)
    } catch (thrown) {
      const error = toCorralError(thrown)
      const told = toldOf(outgoing, deps.newId)
      const requestId = told.id
      noteError(outgoing, error.code)
      if (error.code === 'internal') deps.onBug?.(thrown, told)
      deps.guard.noteRefusal(incoming, { error, pattern: routePath(context), requestId })
      const { status, headers, body } = renderError('problem', error, requestId)
      return new Response(new Uint8Array(body), { status, headers: { ...headers, 'x-request-id': requestId, ...noStore } })
    }
  }
}

/** A change needs a JSON content type or no `Origin`. */
export function sameSite(handler: Handler): Handler {
  return (context) => {
    const isJson = (context.req.header('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() === 'application/json'
    if (context.req.header('origin') !== undefined && !isJson) {
      throw new CorralError('origin_refused', 'a change from a web page needs the content type application/json')
    }
    return handler(context)
  }
}

/** Who makes a change, for the audit log. */
export function actOf(context: Context<NodeBindings>, { guard, newId }: { readonly guard: Guard; readonly newId: () => string }): Act {
  const { incoming, outgoing } = context.env
  return { by: guard.principalOf(incoming), requestId: requestIdOf(outgoing, newId), address: guard.addressOf(incoming) }
}

export interface JsonReading<T> {
  readonly clock: Clock
  /** What is described, for messages. */
  readonly what: string
  readonly bytesMax?: number
  readonly shape: z.ZodType<T>
}

/** The body as what `shape` describes; an empty body counts as `{}`. Throws `invalid_request`. */
export async function readJson<T>(
  context: Context<NodeBindings>,
  { clock, what, shape, bytesMax = bodyBytesMax }: JsonReading<T>,
): Promise<T> {
  const body = await bodyOf(context, clock, bytesMax)
  return decodeBody(body.length === 0 ? emptyObject : body, what, shape)
}

/** Bodies that were read: whoever looks first reads, the others see the same bytes. */
const bodies = new WeakMap<IncomingMessage, Promise<Buffer>>()

/** The bytes of the body. Throws what `readBody` throws. */
export function bodyOf({ env: { incoming } }: Context<NodeBindings>, clock: Clock, bytesMax: number): Promise<Buffer> {
  const known = bodies.get(incoming)
  if (known !== undefined) return known
  const limits = {
    bytesMax,
    bytesMaxName: 'the limit of this route',
    bytesMaxTogether: Infinity,
    pauseMsMax: bodyPauseMsMax,
    declaredBytes: null,
    clock,
    arrivedAtMs: clock.nowMs(),
  }
  const read = new Promise<Buffer>((onBody, onBodyError) => readBody(incoming, limits, { onBody, onBodyError }))
  bodies.set(incoming, read)
  return read
}
