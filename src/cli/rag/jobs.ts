/** `corral jobs ls|show|retry|cancel|pause|resume`: what becomes of documents that were given. */
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import { gatewayOf, type GatewayOptions } from '../gateway.ts'
import { painter, printable, printData, printJson, printMessage, table, type Tone } from '../output.ts'
import { hintOf } from '../../core/error-hints.ts'
import { timeText } from './eta.ts'
import { countText } from './ingest-progress.ts'
import { allCollections, askRag, collectionPath, decodeRag, jobPage, jobView, type JobView, ragRequest } from './rag-api.ts'

export interface JobsLsOptions extends GatewayOptions {
  readonly collection?: string
  readonly state?: string
  readonly limit?: string
}

export interface RetryOptions extends GatewayOptions {
  readonly failed?: boolean
  readonly collection?: string
}

const tones: Readonly<Record<JobView['state'], Tone>> = {
  queued: 'dim',
  running: 'cyan',
  paused: 'yellow',
  done: 'green',
  failed: 'red',
  cancelled: 'dim',
}
const reasonCharsMax = 200

/** The newest first. */
export async function jobsLsCommand(options: JobsLsOptions): Promise<void> {
  const { collection, state, limit = '50' } = options
  const asked = Object.entries({ collection, state, limit }).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))
  const page = await ragRequest(await gatewayOf(options), ['GET', `/rag/jobs?${new URLSearchParams(asked).toString()}`])
  if (options.json === true) return printJson(page)
  const { jobs, next } = decodeRag(jobPage, page)
  if (jobs.length === 0) return printMessage('no job')
  const paint = painter(process.stdout)
  const head = ['JOB', 'STATE', 'COLLECTION', 'DOCUMENT', 'HOW FAR'].map((text) => paint('dim', text))
  const rows = jobs.map((job) => [
    printable(job.id),
    paint(tones[job.state], job.state),
    printable(job.collection ?? '-'),
    printable(job.document),
    howFar(job),
  ])
  printData(table([head, ...rows]))
  if (next !== null) printMessage(`older ones are left out: --limit, --state and --collection choose`)
}

function howFar({ state, stage, stages, outcome, error }: JobView): string {
  if (error !== null) return `${printable(error.message).slice(0, reasonCharsMax)} (${printable(error.code)})`
  if (state === 'done') return outcome ?? 'written'
  if (state !== 'running') return ''
  const { done = 0, total = 0, etaMs = null } = stages.find((view) => view.stage === stage) ?? {}
  return `${stage}${total === 0 ? '' : ` ${done}/${total}`}${etaMs === null ? '' : `, ${timeText(etaMs)} left`}`
}

export async function jobsShowCommand(id: string, options: GatewayOptions): Promise<void> {
  const job = await askRag(await gatewayOf(options), jobView, ['GET', jobPath(id)])
  if (options.json === true) return printJson(job)
  const paint = painter(process.stdout)
  const stages = job.stages.map(({ stage, done, total }) => [stage, total === 0 ? '-' : `${done}/${total}`])
  const facts = [
    ['job', job.id],
    ['collection', job.collection ?? 'removed'],
    ['document', job.document],
    ['given', job.createdAt],
  ].map(([name = '', value = '']) => [name, printable(value)])
  printData(table([...facts, ['state', paint(tones[job.state], job.state)], ...stages]))
  if (job.outcome !== null) printData(`outcome     ${job.outcome}${job.duplicateOf === null ? '' : ` of ${printable(job.duplicateOf)}`}`)
  if (job.error === null) return
  printData(`reason      ${printable(job.error.message)} (${printable(job.error.code)})`)
  const hint = hintOf(job.error.code)
  if (hint !== null) printData(`hint        ${hint}`)
}

/** One job, or with `--failed` all that failed. */
export async function jobsRetryCommand(id: string | undefined, options: RetryOptions): Promise<void> {
  if ((id === undefined) !== (options.failed === true))
    throw new CliError(exitCodes.usage, 'name a job, or say --failed for all that failed')
  if (id !== undefined) return jobsControlCommand('retry', id, options)
  const gateway = await gatewayOf(options)
  const names = options.collection === undefined ? (await allCollections(gateway)).map(({ name }) => name) : [options.collection]
  let retried = 0
  for (const name of names)
    retried += (await askRag(gateway, z.object({ retried: z.number() }), ['POST', collectionPath(name, '/retry-failed')])).retried
  if (options.json === true) printJson({ retried })
  else printMessage(`${countText(retried, 'job')} tried again`)
}

/** Asks a job to do something. Exit code 1 when its state does not allow it. */
export async function jobsControlCommand(
  action: 'retry' | 'cancel' | 'pause' | 'resume',
  id: string,
  options: GatewayOptions,
): Promise<void> {
  const job = await askRag(await gatewayOf(options), jobView, ['POST', `${jobPath(id)}/${action}`])
  if (options.json === true) printJson(job)
  else printMessage(`${printable(job.document)} is ${job.state}`)
}

function jobPath(id: string): string {
  return `/rag/jobs/${encodeURIComponent(id)}`
}
