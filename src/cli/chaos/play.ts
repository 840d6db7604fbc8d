/** Plays one fault: quiet requests to learn from, the fault in the midst of load, its end; and judges what the clients saw. */
import type { Clock } from '../../base/clock.ts'
import type { Config } from '../../config/schema.ts'
import { type Reply, sendCrowd, askOnce } from './client.ts'
import type { ChaosFault } from './faults.ts'
import { fixOf, type FailedAt } from './fix.ts'
import { openStage, type Stage } from './stage.ts'

export interface Score {
  readonly fault: string
  readonly promised: ChaosFault['promised']
  readonly requests: number
  readonly good: number
  /** By what clients saw. */
  readonly failed: Readonly<Record<string, number>>
  /** Requests that more than one node was tried for. */
  readonly retried: number
  /** The slowest first frame under the fault less the usual one; null when there was none. */
  readonly addedMs: number | null
  readonly survived: boolean
  /** What was not as promised; null when it was. */
  readonly reason: string | null
  /** The key to change, and why; null when nothing is to be mended. */
  readonly fix: string | null
}

const quietRequestsPerNode = 6
const requestsMin = 32
const requestsMax = 192
/** One client, and all of them: what waits longer is lost to whoever waits for it. */
const patienceMs = 10_000
const crowdMs = 12_000
const returnMs = 4_000
/** How often the crowd comes again until the node that fails is left alone. */
const furtherRoundsMax = 2
/** For one fault. */
const faultMs = 24_000

export interface Playing {
  readonly config: Config
  readonly clock: Clock
  /** Ends the whole run: what is not through by then says so. */
  readonly signal: AbortSignal
}

export async function playFault(fault: ChaosFault, playing: Playing): Promise<Score> {
  const { config, signal } = playing
  if (signal.aborted) return unplayed(fault)
  const stage = await openStage(playing)
  try {
    const crowd = crowdOf(stage, playing)
    const quiet = await crowd({ clients: stage.herd.nodes.length, requests: quietRequestsPerNode * stage.herd.nodes.length })
    const clients = Math.max(2, Math.floor(stage.slots * fault.clientsPerSlot))
    const requests = Math.min(requestsMax, Math.max(requestsMin, 3 * clients))
    const replies = [...(await crowd({ clients, requests }, async () => fault.strike(stage.herd.nodes)))]
    const returned = fault.promised === 'told to come back' ? await comesBack(stage, playing) : true
    let settled = fault.promised !== 'cut and told'
    for (let round = 0; !settled && round < furtherRoundsMax; round += 1) {
      const more = await crowd({ clients, requests })
      replies.push(...more)
      settled = more.length > 0 && more.every(({ kind }) => kind === 'good')
    }
    return signal.aborted ? unplayed(fault) : score(fault, { config, quiet, replies, returned, settled })
  } finally {
    await stage.close()
  }
}

/** Not a promise kept: nobody knows. */
function unplayed({ name, promised }: ChaosFault): Score {
  const reason = 'the time of the whole run was up before it was through'
  const counts = { requests: 0, good: 0, failed: {}, retried: 0, addedMs: null }
  return { fault: name, promised, ...counts, survived: false, reason, fix: 'run it again where less else is running' }
}

interface Load {
  readonly clients: number
  readonly requests: number
}

type PlayCrowd = (load: Load, strike?: () => Promise<void>) => Promise<readonly Reply[]>

/** Crowds of one stage. The time of all of them together is bounded. */
function crowdOf({ url, model }: Stage, { clock, signal: run }: Playing): PlayCrowd {
  const whole = AbortSignal.any([run, AbortSignal.timeout(faultMs)])
  return (load, act = () => Promise.resolve()) => {
    const signal = AbortSignal.any([whole, AbortSignal.timeout(crowdMs)])
    return sendCrowd({ url, model, clock, ...load, patienceMs, signal, after: { ended: Math.ceil(load.requests / 8), act } })
  }
}

async function comesBack({ herd, url, model }: Stage, { clock, signal: run }: Playing): Promise<boolean> {
  for (const { control } of herd.nodes) control.clear()
  const signal = AbortSignal.any([run, AbortSignal.timeout(returnMs)])
  while (!signal.aborted) {
    if ((await askOnce({ url, model, clock, signal })).kind === 'good') return true
    await clock.sleep(50)
  }
  return false
}

interface Seen {
  readonly config: Config
  readonly quiet: readonly Reply[]
  readonly replies: readonly Reply[]
  readonly returned: boolean
  /** In the end nothing went to the node that fails. */
  readonly settled: boolean
}

function score(fault: ChaosFault, { config, quiet, replies, returned, settled }: Seen): Score {
  const bad = replies.filter(({ kind }) => kind !== 'good')
  const failed: Record<string, number> = {}
  for (const { what } of bad) failed[what] = (failed[what] ?? 0) + 1
  const reason = reasonOf(fault, replies, { returned, settled })
  const slowest = Math.max(...replies.flatMap(({ firstFrameMs }) => firstFrameMs ?? []))
  const usual = quiet.flatMap(({ firstFrameMs }) => firstFrameMs ?? []).toSorted((a, b) => a - b)
  const median = usual[Math.floor(usual.length / 2)]
  return {
    fault: fault.name,
    promised: fault.promised,
    requests: replies.length,
    good: replies.length - bad.length,
    failed,
    retried: replies.filter(({ attempts }) => attempts > 1).length,
    addedMs: Number.isFinite(slowest) && median !== undefined ? Math.max(0, Math.round(slowest - median)) : null,
    survived: reason === null,
    reason,
    fix: reason === null ? null : fixOf(fault, failedAtOf(bad), config),
  }
}

function failedAtOf(bad: readonly Reply[]): FailedAt {
  if (bad.some(({ firstFrameMs }) => firstFrameMs === null)) return 'before the answer'
  return bad.some(({ kind }) => kind === 'gave up') ? 'standing stream' : 'broken stream'
}

/** What was not as promised; null when it was. */
export function reasonOf(
  { promised }: Pick<ChaosFault, 'promised'>,
  replies: readonly Reply[],
  { returned, settled }: Pick<Seen, 'returned' | 'settled'>,
): string | null {
  const count = (has: (reply: Reply) => boolean): number => replies.filter(has).length
  const silent = count(({ kind }) => kind === 'cut silently' || kind === 'disconnected')
  if (silent > 0) return `${silent} ended without a word`
  const bad = count(({ kind }) => kind !== 'good')
  if (promised === 'nothing lost') return bad > 0 ? `${bad} of ${replies.length} lost` : null
  const waited = count(({ kind }) => kind === 'gave up')
  if (waited > 0) return `${waited} got no end within ${patienceMs / 1_000} s`
  if (promised === 'told to come back') {
    const untold = count(({ kind, toldWhen }) => kind === 'refused' && !toldWhen)
    // Those under way when the last node went are its failure: a 502 each, once.
    if (untold > replies.length / 2) return `${untold} turned away without a time to come again`
    return returned ? null : `no answer within ${returnMs / 1_000} s of the nodes' return`
  }
  const unbegun = count(({ kind }) => kind === 'refused')
  if (unbegun > 0) return `${unbegun} lost that had not begun`
  return settled ? null : 'streams still break: the node that fails is not left alone'
}
