/**
 * The part of `corral doctor` that looks at collections: whether the vectors of each are still those that its embedder makes now. A model that
 * was pulled anew, or another one, has other vectors, often of another length; searches then go by words alone and say so only in their answers.
 * One search each finds it out, and loads the embedder where it is not in memory.
 */
import { z } from 'zod'

import { type Clock, systemClock } from '../base/clock.ts'
import { adviceOf, askGateway } from './ask-gateway.ts'
import type { Finding } from './finding.ts'
import { printable } from './output.ts'

/** An embedder may have to be loaded first. */
const answerMs = 15_000
/** For all collections; one whose embedder no node can load takes all of `answerMs`. */
const looksMsMax = 60_000
const collectionsMax = 50

const settings = z.object({ embedder: z.string().nullable() })
const list = z.object({ collections: z.array(z.object({ name: z.string(), chunks: z.number(), settings })), next: z.string().nullish() })
const found = z.object({ degradedReason: z.string().nullable() })

const check = 'vectors'

/** Nothing where the gateway has no documents. */
export async function vectorFindings(url: string, clock: Pick<Clock, 'nowMs'> = systemClock): Promise<Finding[]> {
  const endMs = clock.nowMs() + looksMsMax
  try {
    const response = await askGateway(`${url}/rag/collections?limit=${collectionsMax}`, answerMs)
    if (response === null) return []
    const { collections, next } = list.parse(response)
    const findings: Finding[] = []
    let late = 0
    for (const { name, chunks, settings: own } of collections) {
      if (chunks === 0 || own.embedder === null) continue
      if (clock.nowMs() < endMs) findings.push(await vectorFinding(url, { name, embedder: own.embedder }))
      else late += 1
    }
    if (late > 0) findings.push(unlooked(`${late} collections: a minute was up`))
    if (next !== undefined && next !== null) findings.push(unlooked(`collections after the first ${collectionsMax}`))
    return findings
  } catch (error) {
    const detail = `collections cannot be looked at: ${printable(error instanceof Error ? error.message : String(error))}`
    return [
      { check, status: 'warn', detail, hint: adviceOf(error, "set CORRAL_API_KEY to a key that may search its tenant's collections") },
    ]
  }
}

function unlooked(what: string): Finding {
  return {
    check,
    status: 'warn',
    detail: `not looked at: ${what}`,
    hint: '`corral search --json` tells of each: degradedReason',
  }
}

async function vectorFinding(url: string, { name, embedder }: { readonly name: string; readonly embedder: string }): Promise<Finding> {
  const own = `vectors of ${printable(name)}`
  try {
    const body = JSON.stringify({ collections: [name], query: 'corral doctor', mode: 'vector', limit: 1 })
    const { degradedReason } = found.parse(await askGateway(`${url}/rag/search`, answerMs, body))
    if (degradedReason === null) return { check: own, status: 'ok', detail: `are those of ${printable(embedder)} as it is now` }
    const hint = `until "corral collections reingest ${printable(name)}" it is found by words alone; or give it the embedder that it was made with`
    return { check: own, status: 'warn', detail: printable(degradedReason), hint }
  } catch (error) {
    const detail = `cannot be looked at: ${printable(error instanceof Error ? error.message : String(error))}`
    return { check: own, status: 'warn', detail, hint: `can a node run ${printable(embedder)}, and may the key search here?` }
  }
}
