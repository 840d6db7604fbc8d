/** `corral usage`: sums of what was used, by any of the groups that `/admin/usage` knows. Times in UTC. */
import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { parseDurationMs } from '../base/units.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { decode } from './keys.ts'
import { painter, printable, printData, printJson, table } from './output.ts'

const usageList = z.object({
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
  readonly model?: string
}

/** Prints the sums, largest GPU time first. */
export async function usageCommand(options: UsageOptions): Promise<void> {
  const { by, from, to, tenant, subject, model } = options
  const query = new URLSearchParams()
  const wanted = { by, tenant, subject, model, from: timeOf('--from', from), to: timeOf('--to', to) }
  for (const [name, value] of Object.entries(wanted)) if (value !== undefined) query.set(name, value)
  const path = query.size === 0 ? '/admin/usage' : `/admin/usage?${query.toString()}`
  const { usage } = decode(usageList, await (await gatewayOf(options)).request('GET', path))
  if (options.json === true) {
    printJson(usage)
    return
  }
  const groups = (by ?? '').split(',').filter((name) => name !== '')
  const paint = painter(process.stdout)
  const head = [...groups.map((name) => name.toUpperCase()), 'REQUESTS', 'CACHED', 'PROMPT', 'OUTPUT', 'GPU']
  const rows = usage.map(({ group, requests, cachedRequests, promptTokens, outputTokens, gpuSeconds }) => [
    ...groups.map((name) => printable(group[name] ?? '-')),
    ...[requests, cachedRequests, promptTokens, outputTokens].map(String),
    `${gpuSeconds.toFixed(1)}s`,
  ])
  printData(table([head.map((text) => paint('dim', text)), ...rows]))
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
