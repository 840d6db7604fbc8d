/**
 * The credentials a request carries, taken from its raw header lines, since Node's parsed headers hide a second `Authorization`.
 * Ways: `Authorization: Bearer`, `x-api-key`, `api-key`, a key in the path (stripped before), Ollama's signature in `Authorization`.
 */
import { isSignature } from './signature.ts'

/** A credential as it came. */
export type Presented =
  | { readonly kind: 'none' }
  | PresentedToken
  | { readonly kind: 'signature'; readonly text: string }
  /** Something that is no credential of a known kind. */
  | { readonly kind: 'malformed' }
  /** Two that differ: which one counts could be read in two ways. */
  | { readonly kind: 'ambiguous' }

/** A key or a signed token. */
export interface PresentedToken {
  readonly kind: 'token'
  readonly text: string
}

const none: Presented = { kind: 'none' }
const malformed: Presented = { kind: 'malformed' }
const ambiguous: Presented = { kind: 'ambiguous' }

/** One space, as RFC 6750 has it, and visible ASCII. */
const bearerPattern = /^bearer ([!-~]+)$/i
const visible = /^[!-~]+$/

/** Reads the credentials of a request. `pathKey`: the one that stood in the path; null for none. */
export function readPresented(rawHeaders: readonly string[], pathKey: string | null): Presented {
  let found: Presented = pathKey === null ? none : tokenOf(pathKey)
  let authorizations = 0
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    // Three lengths only; spelt out in lower case is what nearly nobody sends.
    if (name.length !== 13 && name.length !== 9 && name.length !== 7) continue
    const lower = name.toLowerCase()
    const value = rawHeaders[index + 1] ?? ''
    let next: Presented
    if (lower === 'authorization') {
      authorizations += 1
      if (authorizations > 1) return ambiguous
      next = readAuthorization(value)
    } else if (lower === 'x-api-key' || lower === 'api-key') next = tokenOf(value)
    else continue
    found = combine(found, next)
    if (found.kind === 'ambiguous') return found
  }
  return found
}

function readAuthorization(value: string): Presented {
  if (isSignature(value)) return { kind: 'signature', text: value }
  const token = bearerPattern.exec(value)?.[1]
  return token === undefined ? malformed : { kind: 'token', text: token }
}

function tokenOf(text: string): Presented {
  return visible.test(text) ? { kind: 'token', text } : malformed
}

function combine(before: Presented, next: Presented): Presented {
  if (before.kind === 'none') return next
  if (before.kind === 'token' && next.kind === 'token' && before.text === next.text) return before
  return ambiguous
}
