/** Decoders of the lists that a node answers with: `/api/tags`, `/api/ps`, `/api/version`. Rows of another shape are left out. */
import { z } from 'zod'

const row = z.record(z.string(), z.unknown())

const tagRow = z.looseObject({
  name: z.string().min(1),
  digest: z.string().default(''),
  size: z.number().default(0),
  modified_at: z.string().default(''),
  remote_model: z.string().optional(),
  remote_host: z.string().optional(),
  details: z.looseObject({ family: z.string().catch('') }).catch({ family: '' }),
})

const loadedRow = z.looseObject({
  name: z.string().min(1),
  digest: z.string().default(''),
  size: z.number().default(0),
  size_vram: z.number().default(0),
  context_length: z.number().optional(),
  expires_at: z.string().default(''),
})

const listing = z.object({ models: z.array(row).nullable() })
const versionBody = z.object({ version: z.string() })

export type TagRow = z.infer<typeof tagRow>
export type LoadedRow = z.infer<typeof loadedRow>

/** Each row decoded, with the object as received. */
export interface Row<T> {
  readonly fields: T
  readonly raw: Readonly<Record<string, unknown>>
}

function decodeRows<T>(body: Buffer, schema: z.ZodType<T>): readonly Row<T>[] | null {
  const parsed = listing.safeParse(parseJson(body))
  if (!parsed.success) return null
  const rows: Row<T>[] = []
  for (const raw of parsed.data.models ?? []) {
    const fields = schema.safeParse(raw)
    if (fields.success) rows.push({ fields: fields.data, raw })
  }
  return rows
}

/** The body's value; null when it is no JSON. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return null
  }
}

/** Rows of `/api/tags`; null when the body is no such list. */
export function decodeTags(body: Buffer): readonly Row<TagRow>[] | null {
  return decodeRows(body, tagRow)
}

/** Rows of `/api/ps`; null when the body is no such list. */
export function decodeLoaded(body: Buffer): readonly Row<LoadedRow>[] | null {
  return decodeRows(body, loadedRow)
}

/** The version of `/api/version`; null when the body is none. */
export function decodeVersion(body: Buffer): string | null {
  const parsed = versionBody.safeParse(parseJson(body))
  return parsed.success ? parsed.data.version : null
}
