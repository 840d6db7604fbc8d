/** Query parameters of the gateway's own routes, read by a schema. */
import { z } from 'zod'

import { CorralError } from './errors.ts'

/** Query parameters as `shape` describes them. Throws `invalid_request`. */
export function parseParameters<T>(shape: z.ZodType<T>, parameters: Readonly<Record<string, string>>): T {
  const parsed = shape.safeParse(parameters)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CorralError('invalid_request', `${issue?.path.join('.') ?? 'query'}: ${issue?.message ?? 'invalid'}`)
}

/** Rows of a page, 1 to `max`. */
export function pageLimit(max: number) {
  return z
    .string()
    .regex(/^[1-9][0-9]{0,4}$/, `expected a number from 1 to ${max}`)
    .transform(Number)
    .pipe(z.int().max(max))
}
