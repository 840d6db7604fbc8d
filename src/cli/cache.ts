/** `corral cache stats|purge`: what the caches of a running gateway hold and did, and taking things out. A purge counts unless `--yes` is said. */
import { z } from 'zod'

import { CliError, exitCodes } from './exit-code.ts'
import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { decode } from './keys.ts'
import { printable, printData, printJson, printMessage, table } from './output.ts'

const purgeResult = z.object({
  dryRun: z.boolean(),
  memory: z.number(),
  flights: z.number(),
  layers: z.record(z.string(), z.unknown()),
  shared: z.boolean(),
})

/** Prints counters, one per line. */
export async function cacheStatsCommand(options: GatewayOptions): Promise<void> {
  const stats = await (await gatewayOf(options)).request('GET', '/admin/cache')
  if (options.json === true) printJson(stats)
  else printData(table(linesOf(stats, '')))
}

/** Every number in a tree with its path; members of lists go by their `name`. */
function linesOf(value: unknown, path: string): string[][] {
  if (typeof value !== 'object' || value === null) return [[path, printable(String(value))]]
  const named = z.object({ name: z.string() })
  return Object.entries(value).flatMap(([key, child]) => {
    if (key === 'name') return []
    const own = named.safeParse(child)
    const step = own.success ? own.data.name : key
    return linesOf(child, path === '' ? printable(step) : `${path}.${printable(step)}`)
  })
}

export interface PurgeOptions extends GatewayOptions {
  readonly tenant?: string
  readonly model?: string
  readonly kind?: string
  readonly key?: string
  readonly all?: boolean
  readonly yes?: boolean
}

/** Takes out what the flags name; without `--yes` only says how much that would be. */
export async function cachePurgeCommand(options: PurgeOptions): Promise<void> {
  const { tenant, model, kind, key, all = false, yes = false } = options
  const conditions = Object.fromEntries(Object.entries({ tenant, model, kind, key }).filter(([, value]) => value !== undefined))
  if ((Object.keys(conditions).length === 0) !== all) {
    throw new CliError(
      exitCodes.usage,
      all ? '--all goes with no other condition' : 'name --tenant, --model, --kind or --key, or say --all',
    )
  }
  const asked = { ...conditions, ...(all ? { all } : {}), dryRun: !yes }
  const answer = await (await gatewayOf(options)).request('POST', '/admin/cache/purge', asked)
  if (options.json === true) {
    printJson(answer)
    return
  }
  const { dryRun, memory, flights, shared } = decode(purgeResult, answer)
  if (dryRun) printMessage(`${memory} entries in memory match; say --yes to take them out, here and in the slower layers`)
  else printMessage(`taken out: ${memory} entries in memory, ${flights} answers under way`)
  if (!dryRun && !shared) printMessage('not every replica and worker could be told: say it again when all are back')
}
