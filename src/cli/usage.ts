/** `corral usage`: sums of what was used, by any of the groups that `/admin/usage` knows, or the requests one by one. Times in UTC. */
import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { parseDurationMs } from '../base/units.ts'
import { writeCsv } from '../limits/usage-csv.ts'
import { sumColumns } from '../limits/usage-query.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { decode } from './keys.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'
import { printHistory, printRequest } from './usage-history.ts'

const usageList = z.object({
  truncated: z.boolean().default(false),
  usage: z.array(
    z.object({
      group: z.record(z.string(), z.string().nullable()),
      requests: z.number(),
      cachedRequests: z.number(),
      promptTokens: z.number(),
      cachedPromptTokens: z.number(),
      outputTokens: z.number(),
      gpuSeconds: z.number(),
    }),
  ),
})

export interface UsageOptions extends GatewayOptions {
  readonly by?: string
  readonly from?: string
  readonly to?: string
  readonly tenant?: string
  readonly subject?: string
  /** Same as `subject`. */
  readonly key?: string
  readonly model?: string
  readonly status?: string
  readonly csv?: boolean
  readonly history?: boolean
  readonly route?: string
  readonly outcome?: string
  readonly limit?: string
  readonly all?: boolean
  readonly request?: string
}

const historyUsual = 50

/** Prints the sums, largest GPU time first; with `--history` the requests, newest first. */
export async function usageCommand(options: UsageOptions): Promise<void> {
  checkFlags(options)
  const gateway = await gatewayOf(options)
  if (options.request !== undefined) {
    await printRequest(gateway, options.request, options.json === true)
    return
  }
  const query = filtersOf(options)
  if (options.history === true) {
    const format = options.csv === true ? 'csv' : options.json === true ? 'json' : 'table'
    await printHistory(gateway, { query, count: countOf(options), format })
    return
  }
  const { by } = options
  if (by !== undefined) query.set('by', by)
  const path = query.size === 0 ? '/admin/usage' : `/admin/usage?${query.toString()}`
  const { usage, truncated } = decode(usageList, await gateway.request('GET', path))
  if (truncated)
    printMessage(`these are the ${usage.length} rows with the most GPU time, and there are more: name a shorter time or fewer groups`)
  const groups = (by ?? '').split(',').filter((name) => name !== '')
  if (options.json === true) printJson(usage)
  else if (options.csv === true) {
    const rows = usage.map(({ group, ...sums }) => ({ ...group, ...sums }))
    printData(writeCsv([...groups, ...sumColumns], rows))
  } else printSums(usage, groups)
}

function printSums(usage: z.infer<typeof usageList>['usage'], groups: readonly string[]): void {
  const paint = painter(process.stdout)
  const head = [...groups.map((name) => name.toUpperCase()), 'REQUESTS', 'CACHED', 'PROMPT', 'OUTPUT', 'GPU']
  const rows = usage.map(({ group, requests, cachedRequests, promptTokens, outputTokens, gpuSeconds }) => [
    ...groups.map((name) => printable(group[name] ?? '-')),
    ...[requests, cachedRequests, promptTokens, outputTokens].map(String),
    `${gpuSeconds.toFixed(1)}s`,
  ])
  printData(table([head.map((text) => paint('dim', text)), ...rows]))
}

function checkFlags({ history, request, by, route, outcome, limit, all, csv, json }: UsageOptions): void {
  const wrong = (text: string): CliError => new CliError(exitCodes.usage, text)
  if (csv === true && json === true) throw wrong('--csv and --json: say one')
  if (history === true && by !== undefined) throw wrong('--by: sums have groups, --history has none')
  if (history === true || request !== undefined) return
  for (const [name, value] of Object.entries({ route, outcome, limit, all })) {
    if (value !== undefined) throw wrong(`--${name}: only with --history`)
  }
}

function filtersOf({ from, to, tenant, subject, key, model, status, route, outcome }: UsageOptions): URLSearchParams {
  if (subject !== undefined && key !== undefined) throw new CliError(exitCodes.usage, '--key and --subject: say one')
  const named = { tenant, subject: subject ?? key, model, status, route, outcome }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries({ ...named, from: timeOf('--from', from), to: timeOf('--to', to) })) {
    if (value !== undefined) query.set(name, value)
  }
  return query
}

/** How many requests: 50, what was said, or all; of an export all. */
function countOf({ limit, all, csv, json }: UsageOptions): number {
  if (all === true && limit !== undefined) throw new CliError(exitCodes.usage, '--all and --limit: say one')
  if (limit === undefined) return all === true || csv === true || json === true ? Infinity : historyUsual
  if (/^[1-9][0-9]{0,8}$/.test(limit)) return Number(limit)
  throw new CliError(exitCodes.usage, '--limit: expected a number of requests')
}

/** `2026-11-01`, `2026-11-01T08:00:00Z`, or how long ago: `7d`. */
function timeOf(flag: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const agoMs = parseDurationMs(text)
  const isDated = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)
  const wallMs = agoMs !== null ? systemClock.wallMs() - agoMs : isDated ? Date.parse(text) : Number.NaN
  if (Number.isFinite(wallMs)) return new Date(wallMs).toISOString()
  throw new CliError(exitCodes.usage, `${flag}: expected a day (2026-11-01), a time (2026-11-01T08:00:00Z) or how long ago (7d)`)
}
