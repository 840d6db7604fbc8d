/** Options of answers over documents. `config/default.yaml` explains each key. */
import { z } from 'zod'

import { byteSize, durationMs } from '../core/options.ts'

export const answerOptions = z.strictObject({
  /** Share of the time a caller waits that retrieval may take. */
  retrievalShare: z.number().min(0.05).max(0.9).default(0.3),
  /** And its upper bound. */
  retrievalMs: durationMs(5_000, { minMs: 50 }),
  /** After this long a question is searched without being rewritten. */
  rewriteMs: durationMs(2_000, { minMs: 50 }),
  /** Keeps finished answers by the versions of their collections. */
  keepsAnswers: z.boolean().default(true),
  log: z
    .strictObject({
      /** How long answers and what readers think of them are kept. */
      keepMs: durationMs(90 * 86_400_000, { minMs: 1_000, maxMs: 3_650 * 86_400_000 }),
      /** Whether with question and answer, as analytics and learning from feedback need them. */
      texts: z.boolean().default(true),
    })
    .prefault({}),
  /** Characters of one question. */
  questionChars: z.int().min(100).max(100_000).default(8_000),
  /** Bytes of an answer that wait for a slow client. */
  queueBytes: byteSize(1_048_576, { minBytes: 65_536, maxBytes: 64 * 1_048_576 }),
})

export type AnswerOptions = z.infer<typeof answerOptions>
