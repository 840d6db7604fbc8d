/** JSON bodies from clients, held against a shape, with an error that says what to change. Their texts can be stored: a database takes no U+0000 and
 * makes another text of half a character. */
import { isUtf8 } from 'node:buffer'

import type { z } from 'zod'

import { CorralError } from '../core/errors.ts'

/** `what`: what is described, for messages. Throws `invalid_request`. */
export function decodeBody<T>(body: Buffer, what: string, shape: z.ZodType<T>): T {
  return heldTo(shape, parse(body, what), what)
}

/** The same for what is parsed already. */
export function heldTo<T>(shape: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = shape.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new CorralError('invalid_request', `${what}: ${path === '' ? '' : `${path}: `}${issue?.message ?? 'invalid'}`)
}

/** How JSON writes U+0000 and the halves of a character. */
const doubtful = /\\u(?:0000|d[89a-f])/i

function parse(body: Buffer, what: string): unknown {
  if (!isUtf8(body)) throw new CorralError('invalid_request', 'the body is no UTF-8')
  const text = body.toString()
  const value = parseText(text)
  if (doubtful.test(text) && !isStorable(value))
    throw new CorralError('invalid_request', `${what}: a text holds U+0000 or half a character`)
  return value
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CorralError('invalid_request', 'the body is no JSON')
  }
}

/** Whether no text in `value`, names of fields included, holds U+0000 or half a character. */
function isStorable(value: unknown): boolean {
  const left: unknown[] = [value]
  while (left.length > 0) {
    const next = left.pop()
    if (typeof next === 'string' && (next.includes('\0') || !next.isWellFormed())) return false
    if (typeof next === 'object' && next !== null) for (const entry of Object.entries(next)) left.push(...entry)
  }
  return true
}
