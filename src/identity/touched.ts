/**
 * What a change of keys, tenants or revocations touches, and the news of it that replicas send each other: whatever is not touched
 * stays known. News may be lost, come twice or be of another version of this program; what cannot be read touches everything.
 */
import { z } from 'zod'

import type { Principal } from '../core/principal.ts'

const touchedShape = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('key'), id: z.string().max(64) }),
  z.object({ kind: z.literal('tenant'), tenant: z.string().max(64) }),
  z.object({ kind: z.literal('tokens') }),
])

/** A key; a tenant with all its credentials; all signed tokens. */
export type Touched = z.infer<typeof touchedShape>

/** A change as it is stored. */
export interface Change {
  /** Of all keys and tenants, after it. Each change moves it on by one. */
  readonly version: bigint
  readonly touched: Touched
}

const newsShape = z.object({ sender: z.string(), version: z.string().regex(/^\d{1,19}$/), touched: touchedShape })

/** Whether a credential of this principal has to be looked at again. */
export function isTouched({ method, subject, tenant }: Principal, touched: Touched): boolean {
  switch (touched.kind) {
    case 'key':
      return subject === touched.id && method !== 'jwt'
    case 'tenant':
      return tenant === touched.tenant
    case 'tokens':
      return method === 'jwt'
  }
}

/** The change as a message. */
export function writeNews(sender: string, { version, touched }: Change): string {
  return JSON.stringify({ sender, version: String(version), touched })
}

/** A message read; null: not one of ours. */
export function readNews(message: string): { readonly sender: string; readonly change: Change } | null {
  try {
    const parsed = newsShape.safeParse(JSON.parse(message))
    if (!parsed.success) return null
    const { sender, version, touched } = parsed.data
    return { sender, change: { version: BigInt(version), touched } }
  } catch {
    return null
  }
}
