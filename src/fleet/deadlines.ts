/**
 * How long an attempt may stay silent. A node that hangs and a node that reads a long prompt look alike from outside; what
 * tells them apart is what this runner needed before: the budget is a multiple of the learned expectation, and generous
 * while nothing is learned. What follows when it runs out is `attempt-watch.ts`'s. All results are durations in ms.
 */
import type { InferenceRequest } from '../core/relay.ts'
import type { ModelStats } from './learning.ts'
import type { FleetOptions } from './options.ts'
import type { Runner } from './runner.ts'

/** How many times the expectation an attempt may take before its first frame. */
const firstFrameFactor = 4
/** The same for the wait inside a node: the answers ahead may be longer than usual, but their prompts are read already. */
const waitFactor = 2
/** How many times as slow as any node of its pool one may be that has not answered yet, before it is suspect. */
const unknownFactor = 4
/** Prompts up to this many times the largest one answered are read in about the same time. */
const sizeFactor = 2
/** A pause between frames may be this many times the longest pause seen in the same stream (F10). */
const idleFactor = 10
/** A stream's pause of up to this is nothing strange, however fast it was before. */
const strangeMsMin = 100
/** A pause of so many times a strange one has no other cause any more. */
const certainFactor = 3
/** Tokens of prompts that a runner reads in one step, in which its streams get no token each: Ollama's `num_batch`. */
const batchTokens = 512
/** Milliseconds a prompt's token takes where nothing is known: on a consumer GPU, a mid-size model. */
const prefillMsAssumed = 1
/** Tokens of a tool call or structured answer that a node may hold back before it sends a frame. */
const heldBackTokens = 2_048
/** Tokens of a common tool call, which comes as one frame when it is complete (verified notes §k). */
const toolCallTokens = 128

type Deadlines = FleetOptions['deadlines']

/**
 * Until the first frame of a stream, or the end of a body that comes whole: a multiple of what is expected, at least
 * `firstFrameMsMin`, and `firstFrameMsMax` while nothing is learned of any node that holds the model. Longer than this is suspect, not yet a failure.
 */
export function firstFrameBudgetMs(runner: Runner, request: InferenceRequest, deadlines: Deadlines): number {
  if (isLookup(runner, request)) return Math.min(deadlines.firstFrameMsMin, deadlines.lookupMsMax)
  // Audio and whatever newer nodes make of a request take no time that chats could tell.
  if (request.route.operation === 'other') return deadlines.firstFrameMsMax
  const answerMs = (stats: ModelStats): number => (request.stream ? toolCallMs(stats, request) : wholeAnswerMs(stats, request))
  return budgetMs(runner, { promptTokens: request.envelope.promptTokens, answerMs }, deadlines)
}

/**
 * How long a silence must last to be held against the node when the client leaves in it. Where the length of a whole answer
 * is not known, what answers here took stands in: too little to give the answer up for, enough to say whose fault it was.
 */
export function blamedSilenceMs(runner: Runner, request: InferenceRequest, deadlines: Deadlines): number {
  const budget = firstFrameBudgetMs(runner, request, deadlines)
  if (request.stream || budget < deadlines.firstFrameMsMax) return budget
  const answerMs = ({ requestMs }: ModelStats): number => requestMs ?? Infinity
  return budgetMs(runner, { promptTokens: request.envelope.promptTokens, answerMs }, deadlines)
}

/** What is known of the speed: the node's own figures, or while there are none those of the slowest node beside it. */
interface Speed {
  readonly stats: ModelStats
  /** How many times as long the node may need. */
  readonly factor: number
}

function speedOf({ stats, peers }: Runner): Speed | null {
  if (stats.known) return { stats, factor: 1 }
  let slowest: ModelStats | null = null
  for (const { stats: each } of peers) {
    if (each.known && (slowest === null || (each.requestMs ?? 0) > (slowest.requestMs ?? 0))) slowest = each
  }
  return slowest === null ? null : { stats: slowest, factor: unknownFactor }
}

function budgetMs(
  runner: Runner,
  { promptTokens, answerMs }: { promptTokens: number; answerMs: (stats: ModelStats) => number },
  deadlines: Deadlines,
): number {
  const speed = speedOf(runner)
  if (speed === null) return deadlines.firstFrameMsMax
  const { stats, factor } = speed
  const expectedMs = firstFrameFactor * (prefillBudgetMs(stats, promptTokens) + answerMs(stats)) + waitFactor * waitMs(runner, stats)
  if (!Number.isFinite(expectedMs)) return deadlines.firstFrameMsMax
  return Math.min(deadlines.firstFrameMsMax, factor * Math.max(deadlines.firstFrameMsMin, expectedMs))
}

/**
 * What a request waits inside its node: one answer's time for each round of those that the node does not serve at once. Slots
 * count as far as they were shown: a number that is only tried would make hangs of the waits that are to disprove it.
 */
function waitMs({ inFlight, slotsShown }: Runner, { requestMs }: ModelStats): number {
  const rounds = Math.ceil(Math.max(0, inFlight - slotsShown) / slotsShown)
  return rounds === 0 ? 0 : rounds * (requestMs ?? 0)
}

/** The same where nobody else can take the request, or one that was moved for its silence already: longer than this fails. */
export function firstFramePatienceMs(runner: Runner, request: InferenceRequest, deadlines: Deadlines): number {
  return isLookup(runner, request) ? deadlines.lookupMsMax : deadlines.firstFrameMsMax
}

/** What a node answers from its lists and files, without a model in memory. */
function isLookup({ bounded }: Runner, { route: { operation } }: InferenceRequest): boolean {
  return !bounded && (operation === 'show' || operation === 'list')
}

/** Reading the prompt: by the learned rate, or as long as whole answers took to prompts of this size; `Infinity` while unknown. */
function prefillBudgetMs(stats: ModelStats, promptTokens: number): number {
  if (stats.prefillMsPerToken !== null) return promptTokens * stats.prefillMsPerToken
  return promptTokens <= sizeFactor * stats.promptTokensMax ? (stats.requestMs ?? Infinity) : Infinity
}

function toolCallMs(stats: ModelStats, { envelope }: InferenceRequest): number {
  return envelope.fields.has('tools') ? toolCallTokens * (stats.decodeMsPerToken ?? 0) : 0
}

function wholeAnswerMs(stats: ModelStats, request: InferenceRequest): number {
  if (request.route.operation === 'embed') return stats.requestMs ?? 0
  const tokens = request.envelope.outputTokensMax
  const perToken = stats.decodeMsPerToken
  return tokens === null || perToken === null ? Infinity : tokens * perToken
}

/** Whether frames of the stream may stay out while a whole call or document is made (verified notes §k). */
export function holdsBack({ stream, envelope: { fields } }: InferenceRequest): boolean {
  return stream && (fields.has('tools') || fields.has('format') || fields.has('response_format'))
}

/**
 * How sure it is, from 0 to 1, that a stream of which nothing is held back stands still: not at all until it is silent for far longer than it
 * ever was and than a step of reading other prompts takes, as good as certain at some times that.
 */
export function standstill({ stats }: Runner, silentMs: number, longestPauseMs: number): number {
  const stepMs = batchTokens * (stats.prefillMsPerToken ?? prefillMsAssumed)
  const strangeMs = Math.max(strangeMsMin, stepMs, idleFactor * longestPauseMs)
  return silentMs <= strangeMs ? 0 : Math.min(1, silentMs / (certainFactor * strangeMs))
}

/** Between two frames. */
export function idleBudgetMs(runner: Runner, longestPauseMs: number, heldBack: boolean, deadlines: Deadlines): number {
  const adaptive = Math.min(deadlines.idleMsMax, Math.max(deadlines.idleMsMin, idleFactor * longestPauseMs))
  if (!heldBack) return adaptive
  return Math.max(deadlines.idleMsMax, heldBackTokens * (runner.stats.decodeMsPerToken ?? 0))
}
