/** The part of `corral doctor` that asks a running gateway: what it stands on, and whether its streams come through a proxy as they are sent. */
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { formatDuration } from '../base/units.ts'
import { apiKey } from '../config/environment.ts'
import type { Finding } from './finding.ts'
import { printable } from './output.ts'

const answerMs = 5_000
/** Room for the write-ahead log and for a restore beside the store. */
const freeBytesMin = 2 * 1_073_741_824
/** The first one that goes on looking when a filter leaves too little of an index. */
const pgvectorMin = [0, 8]

const dependency = z.object({
  kind: z.string(),
  name: z.string(),
  up: z.boolean().nullable(),
  latencyMs: z.number().nullable(),
  version: z.string().nullable(),
  lastError: z.string().nullable(),
  detail: z.record(z.string(), z.union([z.string(), z.number(), z.null()])),
})

const dependenciesAnswer = z.object({ dependencies: z.array(dependency) })
type Dependency = z.infer<typeof dependency>

const hints: Readonly<Record<string, string>> = {
  postgres: 'start it, or correct DATABASE_URL; until then keys, usage and documents wait, chats go on',
  embedded:
    'mend what keeps it from opening, or name another store.dataDir, and start anew; until then keys, usage and documents wait, chats go on',
  redis: 'start it, or correct REDIS_URL; until then each replica limits and caches for itself',
  issuer: 'is its key set reachable from here (identity.issuers[].jwksUrl)? Tokens that are known go on working for a while',
}

async function get(url: string, path: string): Promise<Response> {
  const key = apiKey()
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` }
  return fetch(`${url}${path}`, { headers, signal: AbortSignal.timeout(answerMs) })
}

function unasked(check: string, status: number): Finding {
  const detail = `not looked at: the gateway answered ${status}`
  const hint = status === 404 ? 'switch features.admin on' : "set CORRAL_API_KEY to an operator's key"
  return { check, status: 'warn', detail, hint }
}

/** What the gateway at `url` says of its stores and issuers; of nodes, see `doctor-nodes.ts`. */
export async function dependencyFindings(url: string): Promise<Finding[]> {
  const check = 'dependencies'
  try {
    const response = await get(url, '/admin/dependencies')
    if (!response.ok) {
      await response.body?.cancel()
      return [unasked(check, response.status)]
    }
    const { dependencies } = dependenciesAnswer.parse(await response.json())
    return dependencies.filter(({ kind }) => kind !== 'node').flatMap(dependencyFinding)
  } catch (error) {
    const detail = `the gateway does not tell: ${printable(error instanceof Error ? error.message : String(error))}`
    return [{ check, status: 'warn', detail, hint: 'its log says more' }]
  }
}

export function dependencyFinding({ kind, name, up, latencyMs, version, lastError, detail }: Dependency): Finding[] {
  const check = kind === 'issuer' ? `issuer ${printable(name)}` : kind
  if (up === false)
    return [
      {
        check,
        status: 'fail',
        detail: printable(lastError ?? 'down'),
        hint: hints[kind === 'database' ? name : kind] ?? 'its own log says more',
      },
    ]
  const facts = [version, latencyMs === null ? null : `${latencyMs} ms`, up === null ? 'not asked yet' : null]
  const own: Finding = { check, status: 'ok', detail: printable([name, ...facts.filter((fact) => fact !== null)].join('  ')) }
  return kind === 'database' ? [own, pgvectorFinding(detail['pgvector'])] : [own]
}

function pgvectorFinding(version: string | number | null | undefined): Finding {
  const check = 'pgvector'
  if (typeof version !== 'string') {
    return {
      check,
      status: 'warn',
      detail: 'not installed',
      hint: 'documents need it: install the package pgvector on the database server',
    }
  }
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [majorMin = 0, minorMin = 0] = pgvectorMin
  if (major > majorMin || minor >= minorMin) return { check, status: 'ok', detail: version }
  const hint = 'update it to 0.8 (ALTER EXTENSION vector UPDATE): older ones find too little behind a filter'
  return { check, status: 'warn', detail: `${version} is old`, hint }
}

/** `/admin/live` sends a state at once, and then one a second at times that all who follow it share: only the first may be close to the next. */
const stateMark = 'event: state\n'
const statesLookedAt = 4
/** Two later states that come closer than this were kept and let go together. */
const apartMsMin = 300

/** Whether the states of a stream come one by one. */
async function comesAsSent(body: ReadableStream<Uint8Array>): Promise<boolean> {
  const decoder = new TextDecoder()
  let text = ''
  const cameAtMs: number[] = []
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    const states = text.split(stateMark).length - 1
    const nowMs = systemClock.nowMs()
    while (cameAtMs.length < states) cameAtMs.push(nowMs)
    if (cameAtMs.length >= statesLookedAt) break
  }
  const later = cameAtMs.slice(1, statesLookedAt)
  return later.length === statesLookedAt - 1 && later.every((atMs, index) => index === 0 || atMs - (later[index - 1] ?? 0) >= apartMsMin)
}

/** Whether a stream reaches a client of `url` while it is still being sent. A proxy may let a first large piece through and keep small ones. */
export async function streamFinding(url: string): Promise<Finding> {
  const check = 'streams'
  const held = {
    check,
    status: 'fail',
    detail: `what is sent a second apart does not come through ${url} a second apart`,
    hint: 'a proxy holds it back: switch its buffering off, as the blocks in docs/deploy.md do',
  } satisfies Finding
  try {
    const response = await get(url, '/admin/live')
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      return unasked(check, response.status)
    }
    return (await comesAsSent(response.body)) ? { check, status: 'ok', detail: `come through ${url} as they are sent` } : held
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') return held
    const detail = `${url} cannot be reached: ${printable(error instanceof Error ? error.message : String(error))}`
    return { check, status: 'fail', detail, hint: 'give the address that clients use, with --url' }
  }
}

/** What the gateway counted since its start: whether prompts were cut, and whether Prometheus reads it. */
export async function metricsFindings(url: string): Promise<Finding[]> {
  const check = 'metrics'
  try {
    const response = await get(url, '/metrics')
    if (response.ok) {
      const scrape = await response.text()
      return [cutFinding(scrape), scrapedFinding(scrape, systemClock.wallMs())]
    }
    await response.body?.cancel()
    const hint = 'switch observe.metrics.enabled on, and set CORRAL_API_KEY to a key that may read metrics'
    return [{ check, status: 'warn', detail: `not looked at: /metrics answered ${response.status}`, hint }]
  } catch (error) {
    const detail = `the gateway does not tell: ${printable(error instanceof Error ? error.message : String(error))}`
    return [{ check, status: 'warn', detail, hint: 'its log says more' }]
  }
}

/** Prometheus reads every minute unless told otherwise. */
const scrapedAgoMsMax = 60_000

/** From the text of a scrape: when Prometheus read it last. Reads of others, as this one, do not count. */
export function scrapedFinding(scrape: string, nowWallMs: number): Finding {
  const check = 'scrape'
  const hint = 'point Prometheus at /metrics (docs/operations.md), and look at its page of targets; without it no alert can fire'
  const atS = /^corral_last_scrape_timestamp_seconds (\d\S*)$/m.exec(scrape)?.[1]
  if (atS === undefined) return { check, status: 'warn', detail: 'no Prometheus has read /metrics since the start', hint }
  const agoMs = Math.max(0, nowWallMs - Number(atS) * 1_000)
  const detail = `Prometheus read /metrics ${formatDuration(Math.round(agoMs / 1_000) * 1_000)} ago`
  return agoMs <= scrapedAgoMsMax ? { check, status: 'ok', detail } : { check, status: 'warn', detail, hint }
}

/** From the text of a scrape: a node cuts a prompt that is longer than the context it runs the model with, and says nothing. */
export function cutFinding(scrape: string): Finding {
  const check = 'context'
  const cuts = [...scrape.matchAll(/^corral_context_truncated_total\{(.*)\} (\d\S*)/gm)].flatMap(([, labels = '', count]) => {
    const named = (label: string): string => new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(labels)?.[1] ?? '?'
    return Number(count) > 0 ? [`${count} of ${named('model')} on ${named('node')}`] : []
  })
  if (cuts.length === 0) return { check, status: 'ok', detail: 'no prompt was longer than what its model was loaded with' }
  const hint = 'give the model more: OLLAMA_CONTEXT_LENGTH on that node, num_ctx in the request, or fleet.numCtx for all requests'
  return { check, status: 'warn', detail: `prompts were cut by the node: ${printable(cuts.join(', '))}`, hint }
}

/** Room where the embedded store is. */
export async function diskFinding(folder: string): Promise<Finding> {
  const check = 'disk'
  const { bavail, bsize } = await spaceAt(folder)
  const free = bavail * bsize
  const detail = `${(free / 1_073_741_824).toFixed(1)} GiB free at ${folder}`
  if (free >= freeBytesMin) return { check, status: 'ok', detail }
  return { check, status: 'warn', detail, hint: 'make room, or move the store (store.dataDir): a full disk stops it' }
}

/** Of the nearest folder that exists: the store's own is made at the first start. */
async function spaceAt(folder: string): Promise<{ bavail: number; bsize: number }> {
  try {
    return await statfs(folder)
  } catch (error) {
    const above = dirname(folder)
    if (above === folder) throw error
    return spaceAt(above)
  }
}
