/** The flags that set limits of a key or a tenant. */
import type { Command } from 'commander'

import { limitSetShape } from '../core/limit-set.ts'
import { CliError, exitCodes } from './exit-code.ts'

export interface LimitFlags {
  readonly rpm?: string
  readonly tpm?: string
  readonly concurrency?: string
  readonly gpuSecondsPerDay?: string
  readonly gpuSecondsPerMonth?: string
}

/** Adds the flags. */
export function withLimits(command: Command): Command {
  return command
    .option('--rpm <count>', 'requests per minute')
    .option('--tpm <count>', 'tokens per minute')
    .option('--concurrency <count>', 'requests at once')
    .option('--gpu-seconds-per-day <count>', 'GPU time')
    .option('--gpu-seconds-per-month <count>', 'GPU time')
}

/** The limits as the admin API takes them; null when no flag was given. */
export function limitsOf({
  rpm,
  tpm,
  concurrency,
  gpuSecondsPerDay,
  gpuSecondsPerMonth,
}: LimitFlags): Readonly<Record<string, number>> | null {
  const given = { requestsPerMinute: rpm, tokensPerMinute: tpm, concurrency, gpuSecondsPerDay, gpuSecondsPerMonth }
  const limits: Record<string, number> = {}
  for (const [name, text] of Object.entries(given)) if (text !== undefined) limits[name] = Number(text)
  const checked = limitSetShape.safeParse(limits)
  if (checked.success) return Object.keys(limits).length === 0 ? null : limits
  const [issue] = checked.error.issues
  const name = issue?.path.join('.') ?? ''
  throw new CliError(exitCodes.usage, `${name}: ${issue?.message ?? ''}, got ${new Map(Object.entries(given)).get(name) ?? ''}`)
}
