/** JSON bodies from clients, held against a shape, with an error that says what to change. */
import type { z } from 'zod'

import { CorralError } from '../core/errors.ts'

/** `what`: what is described, for messages. Throws `invalid_request`. */
export function decodeBody<T>(text: string, what: string, shape: z.ZodType<T>): T {
  return heldTo(shape, parse(text), what)
}

/** The same for what is parsed already. */
export function heldTo<T>(shape: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = shape.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new CorralError('invalid_request', `${what}: ${path === '' ? '' : `${path}: `}${issue?.message ?? 'invalid'}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CorralError('invalid_request', 'the body is no JSON')
  }
}
