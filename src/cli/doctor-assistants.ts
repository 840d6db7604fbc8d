/** The part of `corral doctor` that looks at assistants: whether the prompt of one looks as if it changed all the time, which no cache survives. */
import { z } from 'zod'

import { adviceOf, askGateway } from './ask-gateway.ts'
import type { Finding } from './finding.ts'
import { printable } from './output.ts'

const answerMs = 5_000
const assistantsMax = 200
const list = z.object({
  assistants: z.array(z.object({ name: z.string(), warnings: z.array(z.string()).default([]) })),
  next: z.string().nullable(),
})

/** Nothing where the gateway has no documents, or no assistants. */
export async function promptFindings(url: string): Promise<Finding[]> {
  const check = 'prompts'
  try {
    const answer = await askGateway(`${url}/rag/assistants?limit=${assistantsMax}`, answerMs)
    if (answer === null) return []
    const { assistants } = list.parse(answer)
    if (assistants.length === 0) return []
    const findings = assistants.flatMap(({ name, warnings }) =>
      warnings.map((warning): Finding => ({ check: `assistant ${printable(name)}`, status: 'warn', detail: printable(warning), hint })),
    )
    return findings.length > 0 ? findings : [{ check, status: 'ok', detail: 'of assistants look as if they stayed as they are' }]
  } catch (error) {
    const detail = `assistants cannot be looked at: ${printable(error instanceof Error ? error.message : String(error))}`
    return [{ check, status: 'warn', detail, hint: adviceOf(error, "set CORRAL_API_KEY to a key that may read its tenant's assistants") }]
  }
}

const hint = '"corral assistants put NAME --prompt-file FILE" gives it another prompt'
