/** The JSON body of a question, held against its shape, with an error that says what to change. */
import type { z } from 'zod'

import { CorralError } from '../../core/errors.ts'

/** Throws `invalid_request`. */
export function readAsked<T>(body: Buffer, what: string, shape: z.ZodType<T>): T {
  const parsed = shape.safeParse(parse(body))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new CorralError('invalid_request', `${what}: ${path === '' ? '' : `${path}: `}${issue?.message ?? 'invalid'}`)
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    throw new CorralError('invalid_request', 'the body is no JSON')
  }
}
