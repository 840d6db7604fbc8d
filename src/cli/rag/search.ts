/** `corral search QUERY`: the passages that fit best, with the words that were found. */
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import { gatewayOf, type GatewayOptions } from '../gateway.ts'
import { painter, printable, printData, printJson, printMessage, type Tone } from '../output.ts'
import { collectionsMeant, decodeRag, ragRequest } from './rag-api.ts'

export interface SearchOptions extends GatewayOptions {
  readonly collection?: readonly string[]
  readonly limit?: string
  readonly mode?: string
  readonly explain?: boolean
}

const hitView = z.object({
  collection: z.string(),
  document: z.object({ id: z.string(), title: z.string(), uri: z.string().nullable() }),
  chunk: z.object({ text: z.string(), page: z.number().nullable(), headings: z.array(z.string()) }),
  score: z.number(),
  highlights: z.array(z.object({ start: z.number(), end: z.number() })),
})
type Hit = z.infer<typeof hitView>

const searchAnswer = z.object({
  results: z.array(hitView),
  degraded: z.boolean(),
  degradedReason: z.string().nullable(),
  explain: z.array(z.string()).optional(),
})

/** Characters of a passage that are shown. */
const excerptChars = 240
const excerptBefore = 60

/** Prints the best passages. Exit code 0 also when there are none. */
export async function searchCommand(query: string, options: SearchOptions): Promise<void> {
  const limit = options.limit === undefined ? 5 : Number(options.limit)
  if (!Number.isInteger(limit) || limit < 1) throw new CliError(exitCodes.usage, '--limit: a whole number from 1 is needed')
  const gateway = await gatewayOf(options)
  const collections = await collectionsMeant(gateway, options.collection ?? [])
  const { mode, explain = false } = options
  const found = await ragRequest(gateway, [
    'POST',
    '/rag/search',
    { collections, query, limit, explain, ...(mode === undefined ? {} : { mode }) },
  ])
  if (options.json === true) {
    printJson(found)
    return
  }
  const { results, degraded, degradedReason, explain: reasons = [] } = decodeRag(searchAnswer, found)
  const paint = painter(process.stdout)
  if (degraded) printMessage(painter(process.stderr)('yellow', `searched by words only: ${printable(degradedReason ?? '')}`))
  if (results.length === 0) printMessage(`nothing found in ${collections.map(printable).join(', ')}`)
  else printData(results.map((hit, index) => hitText(hit, { number: index + 1, isOneOfMany: collections.length > 1, paint })).join('\n\n'))
  for (const reason of reasons) printMessage(printable(reason))
}

interface HitLook {
  readonly number: number
  readonly isOneOfMany: boolean
  readonly paint: (tone: Tone, text: string) => string
}

function hitText({ collection, document, chunk, score, highlights }: Hit, { number, isOneOfMany, paint }: HitLook): string {
  const place = chunk.page === null ? chunk.headings.filter((heading) => heading !== document.title).join(' › ') : `page ${chunk.page}`
  const address = document.uri ?? document.id
  const parts = [isOneOfMany ? collection : '', document.title, place, address === document.title ? '' : address]
  const named = parts
    .filter((part) => part !== '')
    .map(printable)
    .join(', ')
  const head = `${paint('cyan', `[${number}]`)} ${paint('bold', named)} ${paint('dim', score.toFixed(2))}`
  return `${head}\n    ${excerptOf(chunk.text, highlights, paint)}`
}

/** The part of the passage around the first word that was found, with all of them painted. */
function excerptOf(text: string, highlights: Hit['highlights'], paint: HitLook['paint']): string {
  const first = highlights[0]?.start ?? 0
  const start = first <= excerptBefore ? 0 : first - excerptBefore
  const end = Math.min(text.length, start + excerptChars)
  let at = start
  let out = start > 0 ? '…' : ''
  for (const highlight of highlights.filter((range) => range.start >= start && range.end <= end)) {
    out += lineOf(text.slice(at, highlight.start)) + paint('yellow', lineOf(text.slice(highlight.start, highlight.end)))
    at = highlight.end
  }
  return `${out}${lineOf(text.slice(at, end))}${end < text.length ? '…' : ''}`
}

function lineOf(text: string): string {
  return printable(text.replaceAll(/\s+/g, ' '))
}
