/** A finished answer as the answer tier keeps it: JSON, read back only when it has exactly this shape. */
import { z } from 'zod'

import { dropReasons, type GroundedSummary } from '../core/citation.ts'

const span = z.object({ start: z.number(), end: z.number() })
const place = {
  collection: z.string(),
  chunk: z.string(),
  document: z.string(),
  title: z.string(),
  uri: z.string().nullable(),
  page: z.number().nullable(),
}

const summary = z.object({
  text: z.string(),
  sources: z.array(
    z.object({
      number: z.number(),
      ...place,
      headings: z.array(z.string()),
      start: z.number(),
      end: z.number(),
      score: z.number(),
      injection: z.number(),
    }),
  ),
  citations: z.array(
    z.object({
      number: z.number(),
      answer: span,
      marker: span,
      ...place,
      start: z.number(),
      end: z.number(),
      quote: z.string(),
      origin: z.enum(['quoted', 'corrected', 'derived']),
      overlap: z.number(),
    }),
  ),
  unsupported: z.array(z.object({ ...span.shape, overlap: z.number(), unknownNumbers: z.array(z.string()) })),
  gate: z.object({
    written: z.number(),
    emitted: z.number(),
    corrected: z.number(),
    dropped: z.record(z.enum(dropReasons), z.number()),
    withheld: z.number(),
  }),
  strength: z.object({ probability: z.number(), sufficient: z.boolean() }),
  query: z.string(),
  refused: z.boolean(),
  degraded: z.string().nullable(),
})

const storedAnswer = z.object({ version: z.literal(1), summary })

/** The bytes to keep. */
export function encodeAnswer(finished: GroundedSummary): Buffer {
  return Buffer.from(JSON.stringify({ version: 1, summary: finished }))
}

/** What was kept; null for bytes of another shape. */
export function decodeAnswer(bytes: Buffer): GroundedSummary | null {
  const parsed = storedAnswer.safeParse(parseJson(bytes.toString()))
  return parsed.success ? parsed.data.summary : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
