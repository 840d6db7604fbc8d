/**
 * `corral ingest PATH…`: files, folders and pages into a collection of a running gateway, which is made when it is not there. Exit code 1 when a
 * document was not taken; the others are not touched by it.
 */
import { systemClock } from '../../base/clock.ts'
import { CliError, exitCodes } from '../exit-code.ts'
import { type Gateway, gatewayOf, type GatewayOptions } from '../gateway.ts'
import { printable, printData, printMessage } from '../output.ts'
import { checkEmbedder } from './embedder-check.ts'
import { createBars, createJsonLines, createLines, type IngestProgress } from './ingest-progress.ts'
import { reportIngest } from './ingest-report.ts'
import { cancelOpen, type IngestRun, runIngest, type Stuck } from './ingest-run.ts'
import { collectionNameFor, findSources, type GivenSource, isFolder, renamed } from './ingest-sources.ts'
import { Tally } from './ingest-tally.ts'
import { watchFolder } from './ingest-watch.ts'
import { askRag, collectionView, type CollectionView, findCollection, type JobView } from './rag-api.ts'

export interface IngestOptions extends GatewayOptions {
  readonly collection?: string
  readonly id?: string
  readonly wait: boolean
  readonly watch?: boolean
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
}

/** What is in a folder and hardly ever a document; as `ingest.folders` leaves out. */
const usuallyExcluded = ['**/.*', '**/.*/**', '**/node_modules/**']

class Interrupted extends Error {}

/** Ingests, and with `--watch` goes on until it is interrupted. */
export async function ingestCommand(paths: readonly string[], options: IngestOptions): Promise<void> {
  const { include = ['**'], exclude = [] } = options
  const wanted = { paths, include, exclude: [...usuallyExcluded, ...exclude] }
  if (options.watch === true) await checkWatched(paths, options)
  const found = await findSources(wanted)
  const sources = options.id === undefined ? found : renamed(found, options.id)
  const gateway = await gatewayOf(options)
  const name = options.collection ?? (await collectionNameFor(paths))
  const collection = (await findCollection(gateway, name)) ?? (await makeCollection(gateway, name, options))
  await checkEmbedder(gateway, collection, options)
  const stuck = await withInterrupt((signal) => ingestAll({ gateway, collection: name, sources, signal }, options))
  if (stuck !== null) throw stuckError(stuck, name)
  if (options.watch === true) await watchFolder({ gateway, collection: name, sources, ...wanted, json: options.json === true })
}

async function checkWatched(paths: readonly string[], { wait }: IngestOptions): Promise<void> {
  const [only = ''] = paths
  if (!wait) throw new CliError(exitCodes.usage, '--watch waits for what it gives: leave --no-wait out')
  if (paths.length !== 1 || /^https?:/i.test(only) || !(await isFolder(only))) {
    throw new CliError(exitCodes.usage, '--watch wants one folder')
  }
}

async function makeCollection(gateway: Gateway, name: string, { json }: IngestOptions): Promise<CollectionView> {
  const made = await askRag(gateway, collectionView, ['POST', '/rag/collections', { name }])
  if (json === true) printData(JSON.stringify({ event: 'collection', name, settings: made.settings }))
  else
    printMessage(
      `collection ${printable(name)} made, ${made.settings.embedder === null ? 'by words only' : `embedder ${printable(made.settings.embedder)}`}`,
    )
  return made
}

type Work = Pick<IngestRun, 'gateway' | 'collection' | 'signal'> & { readonly sources: readonly GivenSource[] }

async function ingestAll(work: Work, options: IngestOptions): Promise<Stuck | null> {
  const json = options.json === true
  const startedAtMs = systemClock.nowMs()
  const tally = new Tally(work.sources)
  const progress = progressFor(options)
  const onJob = (document: string, job: JobView): void => {
    if (json) printData(JSON.stringify({ event: 'job', document, id: job.id, state: job.state, outcome: job.outcome, error: job.error }))
  }
  const run: IngestRun = { ...work, clock: systemClock, tally, progress, waits: options.wait, onJob }
  const report = (): void => {
    progress.end(tally)
    reportIngest({ collection: work.collection, tally, elapsedMs: systemClock.nowMs() - startedAtMs, json })
  }
  try {
    const stuck = await runIngest(run)
    report()
    if (!options.wait && !json) printMessage('"corral jobs ls" shows how far they are')
    if (tally.counts.failed > 0) process.exitCode = exitCodes.failure
    return stuck
  } catch (error) {
    if (error instanceof Interrupted) await cancelOpen(run)
    report()
    if (error instanceof Interrupted)
      throw new CliError(exitCodes.interrupted, 'interrupted; the same command again goes on with what is missing')
    throw error
  }
}

function progressFor({ json }: IngestOptions): IngestProgress {
  if (json === true) return createJsonLines(process.stdout, systemClock)
  return process.stderr.isTTY ? createBars(process.stderr, systemClock) : createLines(process.stderr, systemClock)
}

/** The first interrupt ends the work in order; the second at once. */
async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const ending = new AbortController()
  const onInterrupt = (): void => {
    if (ending.signal.aborted) process.exit(exitCodes.interrupted)
    ending.abort(new Interrupted('interrupted'))
  }
  process.on('SIGINT', onInterrupt)
  try {
    return await work(ending.signal)
  } finally {
    process.off('SIGINT', onInterrupt)
  }
}

function stuckError({ code, message }: Stuck, collection: string): CliError {
  const lines = [
    'They go on by themselves when it is back; "corral jobs ls" shows them.',
    `Without an embedder, by words only: corral collections set ${printable(collection)} --embedder none`,
  ]
  return new CliError(exitCodes.failure, `the documents that are left wait: ${printable(message)}`, code === 'paused' ? [] : lines)
}
