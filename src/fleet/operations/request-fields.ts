/** Fields of a request that changes what nodes hold, beside the model that it names. */
import { z } from 'zod'

import type { InferenceRequest } from '../../core/relay.ts'
import { decodeString } from '../../wire/json-scan.ts'
import { parseJson } from '../../wire/listings.ts'

/** The text of a top-level field; null when it is absent, empty or no text. */
export function readText({ body, envelope }: InferenceRequest, key: string): string | null {
  const field = envelope.fields.get(key)
  const text = field?.kind === 'string' ? decodeString(body, field.start, field.end) : null
  return text === '' ? null : text
}

const texts = z.record(z.string(), z.string())

/** The texts in a top-level object; none when it is absent or has others than texts. */
export function readTexts({ body, envelope }: InferenceRequest, key: string): readonly string[] {
  const field = envelope.fields.get(key)
  if (field?.kind !== 'object') return []
  const parsed = texts.safeParse(parseJson(body.subarray(field.start, field.end)))
  return parsed.success ? Object.values(parsed.data) : []
}
