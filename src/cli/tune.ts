/**
 * `corral tune COLLECTION`: which index serves its vectors best, tried on the vectors themselves, and with `--apply` set and built. It works on
 * the store; with `--judged` a running gateway is asked instead (`tune-weight.ts`).
 */
import { randomBytes } from 'node:crypto'

import { systemClock } from '../base/clock.ts'
import type { VectorIndexSettings } from '../core/corpus.ts'
import { getCollection } from '../search/collections.ts'
import { describeIndex } from '../search/plan.ts'
import { applyTuning, type TuneDeps, type TuneResult, type TuneRow, tuneVectors } from '../search/tune.ts'
import { type VectorSet, vectorSets } from '../search/vector/tables.ts'
import type { Database } from '../store/database.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { withStore } from './opened-store.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'
import { type ConfigOptions, settingsOf } from './settings.ts'

export interface TuneCommandOptions extends ConfigOptions {
  readonly tenant?: string
  readonly url?: string
  readonly json?: boolean
  readonly apply?: boolean
}

/** Whose collections are meant when nobody is named: there is one tenant while authentication is off (`core/principal.ts`). */
const onlyTenant = 'local'
const mebibyte = 1_048_576

/** Tries the grid, prints it, and applies the choice when asked. */
export async function tuneCommand(name: string, options: TuneCommandOptions): Promise<void> {
  if (options.url !== undefined) throw new CliError(exitCodes.usage, '--url goes with --judged: an index is tuned in the store itself')
  const { config } = await settingsOf(options)
  await withStore(config, async (database) => {
    const set = await setOf(database, { tenant: options.tenant ?? onlyTenant, name })
    const deps = { database, clock: systemClock, newSuffix: () => randomBytes(4).toString('hex') }
    const result = await tuneVectors({ set, report: printMessage }, deps)
    if (options.json !== true) show(result)
    const isApplied = options.apply === true && (await apply({ set, name, index: result.choice.index }, deps))
    if (options.json === true) return printJson({ collection: name, ...result, applied: isApplied })
    if (options.apply !== true) printMessage(`corral tune ${printable(name)} --apply sets it`)
  })
}

async function setOf(database: Database, { tenant, name }: { readonly tenant: string; readonly name: string }): Promise<VectorSet> {
  return database.tx({ tenant }, async (transaction) => {
    const collection = await getCollection(transaction, { tenant, name })
    if (collection === null) throw new CliError(exitCodes.failure, `tenant ${printable(tenant)} has no collection ${printable(name)}`)
    const sets = await vectorSets(transaction, { tenant, collections: [collection.id] })
    const [largest] = sets.filter(({ isLive }) => isLive).toSorted((a, b) => b.vectors - a.vectors)
    if (largest === undefined) throw new CliError(exitCodes.failure, `collection ${printable(name)} has no vectors`)
    return largest
  })
}

async function apply(
  wanted: { readonly set: VectorSet; readonly name: string; readonly index: VectorIndexSettings },
  deps: TuneDeps,
): Promise<boolean> {
  const isApplied = await applyTuning(wanted, deps)
  if (!isApplied) throw new CliError(exitCodes.failure, 'the collection was changed meanwhile: nothing applied, try again')
  printMessage(`collection ${printable(wanted.name)} uses ${describeIndex(wanted.index)}`)
  return isApplied
}

function show({ rows, baseline, choice, why, vectors, questions }: TuneResult): void {
  const paint = painter(process.stdout)
  const head = ['INDEX', 'RECALL@10', 'P50 ms', 'P95 ms', 'BUILD s', 'SIZE MiB', ''].map((text) => paint('dim', text))
  const note = (row: TuneRow): string =>
    [...(row === choice ? [paint('green', 'choice')] : []), ...(row === baseline ? ["pgvector's defaults"] : [])].join(', ')
  const lines = rows.map((row) => [
    describeIndex(row.index),
    row.recall.toFixed(3),
    row.p50Ms.toFixed(2),
    row.p95Ms.toFixed(2),
    (row.buildMs / 1_000).toFixed(1),
    (row.sizeBytes / mebibyte).toFixed(1),
    note(row),
  ])
  printData(table([head, ...lines]))
  printMessage(`${vectors} vectors, ${questions} of them as questions: ${why}`)
}
