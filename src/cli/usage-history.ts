/**
 * `corral usage --history`: requests one by one, newest first, by any of the filters that `/admin/requests/history` knows; page after page
 * until the number asked for, or all. `corral usage --request ID` shows one with its words, where those are kept.
 */
import { z } from 'zod'

import { writeCsv } from '../limits/usage-csv.ts'
import { historyColumns } from '../limits/usage-history.ts'
import type { Gateway } from './gateway.ts'
import { decode } from './keys.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'

const entryShape = z.object({
  id: z.string(),
  at: z.string(),
  tenant: z.string(),
  subject: z.string().nullable(),
  model: z.string().nullable(),
  node: z.string().nullable(),
  route: z.string(),
  status: z.number(),
  outcome: z.string(),
  error: z.string().nullable(),
  cache: z.string().nullable(),
  stream: z.boolean(),
  attempts: z.number(),
  durationMs: z.number(),
  ttftMs: z.number().nullable(),
  promptTokens: z.number(),
  cachedPromptTokens: z.number(),
  outputTokens: z.number(),
  gpuSeconds: z.number(),
  estimated: z.boolean(),
  reason: z.string().nullable(),
  queueMs: z.number().nullable(),
  retryMs: z.number().nullable(),
  loadMs: z.number().nullable(),
  promptMs: z.number().nullable(),
  outputMs: z.number().nullable(),
})

const pageShape = z.object({ requests: z.array(entryShape), next: z.string().nullable() })
const detailShape = entryShape.extend({
  prompt: z.string().nullable(),
  promptCut: z.boolean(),
  answer: z.string().nullable(),
  answerCut: z.boolean(),
})

type Entry = z.infer<typeof entryShape>

const pageMax = 1_000

export interface HistoryWish {
  /** Filters as the route takes them. */
  readonly query: URLSearchParams
  /** Requests at most; `Infinity`: all. */
  readonly count: number
  readonly format: 'table' | 'json' | 'csv'
}

/** Prints requests as they come, so that an export of any length needs the memory of one page. */
export async function printHistory(gateway: Gateway, { query, count, format }: HistoryWish): Promise<void> {
  let left = count
  let isFirst = true
  let before: string | null = null
  do {
    const asked = new URLSearchParams(query)
    asked.set('limit', String(Math.min(left, pageMax)))
    if (before !== null) asked.set('before', before)
    const page = decode(pageShape, await gateway.request('GET', `/admin/requests/history?${asked.toString()}`))
    printPage(page.requests, format, isFirst)
    left -= page.requests.length
    before = page.next
    isFirst = false
  } while (before !== null && left > 0)
  if (before !== null && format === 'table') printMessage('there are more: --limit COUNT or --all')
}

/** JSON is a line per request. */
function printPage(requests: readonly Entry[], format: HistoryWish['format'], isFirst: boolean): void {
  switch (format) {
    case 'json':
      for (const entry of requests) printData(JSON.stringify(entry))
      return
    case 'csv': {
      const text = writeCsv(historyColumns, requests)
      const body = isFirst ? text : text.slice(text.indexOf('\n') + 1)
      if (body !== '') printData(body)
      return
    }
    case 'table':
      printData(historyTable(requests, isFirst))
  }
}

function historyTable(requests: readonly Entry[], isFirst: boolean): string {
  const paint = painter(process.stdout)
  const head = ['AT', 'ID', 'TENANT', 'SUBJECT', 'MODEL', 'ROUTE', 'STATUS', 'OUTCOME', 'TIME', 'PROMPT', 'OUTPUT', 'NODE']
  const rows = requests.map((entry) => [
    entry.at.slice(0, 19).replace('T', ' '),
    ...[entry.id, entry.tenant, entry.subject ?? '-', entry.model ?? '-', entry.route].map(printable),
    paint(entry.status < 400 ? 'green' : 'red', String(entry.status)),
    printable(entry.error ?? entry.outcome),
    `${(entry.durationMs / 1_000).toFixed(2)}s`,
    String(entry.promptTokens),
    String(entry.outputTokens),
    printable(entry.node ?? '-'),
  ])
  return table([...(isFirst ? [head.map((text) => paint('dim', text))] : []), ...rows])
}

/** Prints one request: its words for people, all of it as JSON. */
export async function printRequest(gateway: Gateway, id: string, isJson: boolean): Promise<void> {
  const detail = decode(detailShape, await gateway.request('GET', `/admin/requests/history/${encodeURIComponent(id)}`))
  if (isJson) {
    printJson(detail)
    return
  }
  printData(historyTable([detail], true))
  printData(wordsOf('prompt', detail.prompt, detail.promptCut))
  printData(wordsOf('answer', detail.answer, detail.answerCut))
}

/** Lines stay lines; no other control character reaches the terminal. */
function wordsOf(name: string, text: string | null, isCut: boolean): string {
  if (text === null) return `\n${name}: not kept (limits.usage.texts.keep)`
  return `\n${name}${isCut ? ' (cut)' : ''}:\n${text.split('\n').map(printable).join('\n')}`
}
