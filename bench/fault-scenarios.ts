/**
 * What the `faults` bench plays in rounds of one pattern (harness/fault-round.ts) and the bars for each. Three casts: the
 * issue's, 16 clients and one bad node of 8; half of the pool bad; and the setup the peers were measured in
 * (reliability-security.md §4.1): 30 clients, 3 nodes, streams of 10 tokens at 20 ms, where percentages are of the whole
 * run, its clean start and end included, and so keep their full length in a quick run. Faults by a signal hit a process
 * of its own.
 */
import { longPrefillChat, streamedChat, wholeChat } from './harness/bodies.ts'
import type { Fault, RoundPlan } from './harness/fault-round.ts'
import type { MockFault } from './harness/mock-settings.ts'

/** Upper bounds; what has none is not judged. */
export interface Limits {
  readonly failedPercent: number
  /** Of these, requests that no client had had a frame of. */
  readonly failedBeforeFirstFrame?: number
  readonly badSharePercent?: number
  readonly servesAgainMs?: number
  readonly worstTtfbMs?: number
  /** The slowest first frame under the fault, over the median without. */
  readonly addedTtfbMs?: number
  /** From the fault to the end of the last request that failed. */
  readonly lastFailureMs?: number
  /** Streams cut, less those that were on the bad node when it failed. */
  readonly cutBeyondInFlight?: number
}

export interface Scenario {
  readonly name: string
  readonly plan: RoundPlan
  readonly limits: Limits
  /** Percentages are of all requests, those before the fault included. */
  readonly countsBefore: boolean
}

type Scale = <T>(full: T, quick: T) => T
type PlanParts = Partial<RoundPlan> & Pick<RoundPlan, 'fault'>

function setting(fault: MockFault): Fault {
  return { by: 'setting', fault }
}

function signal(name: NodeJS.Signals): Fault {
  return { by: 'signal', signal: name }
}

/** Ollama's own clients wait for as long as it takes; only patience shows what the gateway makes of a fault. */
const patience = { clientTimeoutMs: 300_000, graceMs: 60_000 }
const shortStreams = { serviceMs: 50, frames: 3, frameIntervalMs: 1 }
const secondStreams = { frames: 20, frameIntervalMs: 50, faultAfterFrames: 5 }
/** The first token takes as long as the others, so that some requests have no head yet when the fault comes. */
const peerStreams = { serviceMs: 20, frames: 10, frameIntervalMs: 20, faultAfterFrames: 5 }
const sharePercent = 5
/** What follows within this time of the fault is the fault itself. */
const ejectedMs = 1_000
const frozen = { worstTtfbMs: 3_500, lastFailureMs: 3_000 }

function issuePlan(scale: Scale, parts: PlanParts): RoundPlan {
  const times = { beforeMs: scale(2_000, 1_000), faultMs: scale(9_000, 5_000), afterMs: 0, clientTimeoutMs: 5_000, graceMs: 6_000 }
  return { nodes: 8, badNodes: 1, clients: 16, settings: { serviceMs: 50 }, body: wholeChat, gateway: {}, ...times, ...parts }
}

function peerPlan(fault: Fault): RoundPlan {
  const times = { beforeMs: 2_000, faultMs: 6_000, afterMs: 4_000, ...patience }
  return { nodes: 3, badNodes: 1, clients: 30, fault, settings: peerStreams, body: streamedChat, gateway: {}, ...times }
}

/**
 * The rows of the issue: before the first frame nothing may be lost, however long it takes to notice. Only clients that give
 * up after 5 s lose whole answers to a hang, for which there is no deadline: those on the node when it stopped, and those
 * that take their places.
 */
function issueRows(scale: Scale): Scenario[] {
  const row = (name: string, parts: PlanParts, limits: Limits): Scenario => ({
    name,
    plan: issuePlan(scale, parts),
    limits: { badSharePercent: sharePercent, ...limits },
    countsBefore: false,
  })
  const none = { failedPercent: 0 }
  const long = { ...patience, faultMs: scale(30_000, 6_000), settings: shortStreams }
  const hang = { ...long, fault: setting('hang-inference'), body: streamedChat }
  return [
    row('503', { fault: setting('503') }, none),
    row('refused', { fault: setting('refuse'), settings: shortStreams, body: streamedChat }, { ...none, addedTtfbMs: 50 }),
    row('killed', { fault: setting('refuse'), faultMs: 5_000, afterMs: 4_000 }, { ...none, servesAgainMs: 1_100 }),
    row('404', { fault: setting('404') }, none),
    row('reset before head', { fault: setting('rst-before-head') }, none),
    row('hang', { fault: setting('hang-inference'), faultMs: 9_000, graceMs: 0 }, { failedPercent: 0.1 }),
    row('hang, clients that come back', { fault: setting('hang-inference'), faultMs: 30_000 }, { failedPercent: 0.1 }),
    row('hang, patient clients', hang, { ...none, worstTtfbMs: 3_500 }),
    row('hang, patient clients, longer prompts', { ...hang, body: longPrefillChat(100) }, none),
    row('reset in mid-stream', { fault: setting('rst-at-frame'), settings: secondStreams, body: streamedChat }, { failedPercent: 5 }),
    row(
      'hang in mid-stream',
      { ...long, fault: setting('hang-at-frame'), settings: peerStreams, body: streamedChat },
      { failedPercent: 0.7 },
    ),
    row('loads fail', { fault: setting('load-500'), beforeMs: 0, settings: { serviceMs: 50, loadMs: 300 } }, none),
  ]
}

/** Faults that only a process of its own can have. */
function signalRows(scale: Scale): Scenario[] {
  const parts = { settings: peerStreams, body: streamedChat, faultMs: 9_000, ...patience }
  const stop = { ...parts, fault: signal('SIGSTOP') }
  const term = { ...parts, settings: secondStreams, fault: signal('SIGTERM') }
  return [
    { name: 'frozen (SIGSTOP)', plan: issuePlan(scale, stop), limits: { failedPercent: 0.66, ...frozen }, countsBefore: false },
    {
      name: 'node SIGTERM',
      plan: issuePlan(scale, term),
      limits: { failedPercent: 5, failedBeforeFirstFrame: 0, lastFailureMs: ejectedMs, cutBeyondInFlight: 0 },
      countsBefore: false,
    },
  ]
}

/** Half a pool bad at once: still nothing may be lost before the first frame. */
function halfRows(scale: Scale): Scenario[] {
  const row = (fault: MockFault, parts: Partial<RoundPlan>, limits: Partial<Limits>): Scenario => ({
    name: `half the pool: ${fault}`,
    plan: issuePlan(scale, { fault: setting(fault), badNodes: 4, ...parts }),
    limits: { failedPercent: 0, failedBeforeFirstFrame: 0, ...limits },
    countsBefore: false,
  })
  const share = { badSharePercent: sharePercent }
  return [
    row('rst-before-head', {}, share),
    row('503', {}, share),
    row('refuse', {}, share),
    row('hang-inference', { ...patience, settings: shortStreams, body: streamedChat }, { worstTtfbMs: 3_500 }),
  ]
}

function peerRows(): Scenario[] {
  const row = (name: string, fault: Fault, limits: Limits): Scenario => ({
    name: `peers' setup: ${name}`,
    plan: peerPlan(fault),
    limits: { failedBeforeFirstFrame: 0, ...limits },
    countsBefore: true,
  })
  const none = { failedPercent: 0 }
  return [
    row('kill -9', signal('SIGKILL'), { failedPercent: 0.56 }),
    row('SIGSTOP', signal('SIGSTOP'), { failedPercent: 0.66, ...frozen }),
    row('503', setting('503'), none),
    row('404', setting('404'), none),
    row('reset before head', setting('rst-before-head'), none),
    row('hang before head', setting('hang-inference'), { ...none, worstTtfbMs: 3_500 }),
    row('reset in mid-stream', setting('rst-at-frame'), { failedPercent: 1, lastFailureMs: ejectedMs }),
    row('hang in mid-stream', setting('hang-at-frame'), { failedPercent: 0.7 }),
  ]
}

/** All scenarios; a quick run has shorter faults. */
export function scenariosOf(isQuick: boolean): Scenario[] {
  const scale: Scale = (full, quick) => (isQuick ? quick : full)
  return [...issueRows(scale), ...signalRows(scale), ...halfRows(scale), ...peerRows()]
}
