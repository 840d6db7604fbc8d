/**
 * Documents to a grounded, cited answer: the answer tier, a question that stands alone, retrieval within a share of the deadline, the prompt, and
 * the model through the gateway's own relay, so that generation cache, limits and fairness hold. No network of its own.
 *
 * Rejects with a `CorralError` before anything was handed out; after that failures are in the outcome.
 */
import type { Clock } from '../base/clock.ts'
import type { AnswerSettings } from '../core/assistant.ts'
import type { Call } from '../core/call.ts'
import type { RetrievalStrength } from '../core/citation.ts'
import type { SearchAnswer } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { Outcome, Relay, Usage } from '../core/relay.ts'
import { passageCharacters } from '../search/widen.ts'
import { type AnswerStream, type FinishedAnswer, generatedAnswer, type Grounds, type SummaryFacts } from './answer-stream.ts'
import { type AnswerTierDeps, keep, placeOf, readKept, type TierPlace } from './answer-tier.ts'
import { chatRequest, type SamplingValue } from './chat-request.ts'
import { withoutInvisible } from './invisible.ts'
import type { AnswerOptions } from './options.ts'
import { buildPrompt, type GroundedPrompt, type Turn } from './prompt.ts'
import { PromptSecrets } from './prompt-secrets.ts'
import { keptAnswer, refusal } from './ready-answer.ts'
import { retrievalLimitMs, type Search, searchWithin } from './retrieval.ts'
import { type Rewritten, rewriteQuestion } from './rewrite.ts'
import { areMeasured, strengthOf } from './strength.ts'
import type { TokenBudgets } from './token-budget.ts'

export interface AnswerRequest {
  readonly question: string
  /** Earlier turns, oldest first. */
  readonly history: readonly Turn[]
  readonly collections: readonly string[]
  readonly model: string
  /** What the operator or the assistant's maker wants said to the model; '' for nothing. */
  readonly instructions: string
  readonly settings: AnswerSettings
  /** Sampling options of the client, by Ollama's names. */
  readonly options: Readonly<Record<string, SamplingValue>>
  /** What the caller may see within its tenant, for cache keys; '' for all of it. Whoever restricts a search says here how. */
  readonly access: string
  /** Of the client's request; only what it says of caching is read. */
  readonly headers: readonly string[]
  /** Pattern of the route by which it came. */
  readonly route: string
}

export interface AnswerDeps extends AnswerTierDeps {
  readonly options: () => AnswerOptions
  readonly clock: Clock
  readonly search: Search
  /** The gateway's own, from inside of access checks. */
  readonly relay: Relay
  readonly digestOf: (model: string, group: string | null) => string | null
  /** Largest context of a model in tokens; null: not known. */
  readonly contextOf: (model: string) => number | null
  readonly budgets: TokenBudgets
  /** The embedder of each collection as of these versions; null: none. */
  readonly embeddersOf: (tenant: string, versions: Readonly<Record<string, number>>) => Promise<readonly (string | null)[]>
  /** Changes when retrieval does for a reason that is not in a collection's version, e.g. an embedder's digest; asked after `versions`. Left out: ''. */
  readonly retrievalState?: (tenant: string, collections: readonly string[]) => string
  /** Hears of every answer at its end. */
  readonly onAnswered?: (finished: FinishedAnswer, asked: AnswerRequest, call: Call) => void
}

/** Begins an answer; resolves when its head is certain. */
export async function answer(request: AnswerRequest, call: Call, deps: AnswerDeps): Promise<AnswerStream> {
  const asked = checked(request, deps.options())
  const place = deps.options().keepsAnswers ? await placeFor(asked, call, deps) : null
  const kept = place === null ? null : await readKept(place, deps)
  if (kept === null) return made(asked, call, { place, deps, kept: null })
  const again = (): AnswerStream => watched(keptAnswer(kept.summary, deps.clock.nowMs()), { asked, call, place: null, deps })
  if (!kept.isDrawn) return again()
  return made(asked, call, { place, deps, kept: again }).catch((error: unknown) => {
    if (call.signal.aborted) throw error
    deps.onTrouble('an answer could not be made anew', error)
    return again()
  })
}

interface Making {
  readonly place: TierPlace | null
  readonly deps: AnswerDeps
  /** The answer that the new one is to replace, and which is given instead of one that rests on less; null: there is none. */
  readonly kept: (() => AnswerStream) | null
}

/** A new answer, which is kept at `place`. */
async function made(asked: AnswerRequest, call: Call, { place, deps, kept }: Making): Promise<AnswerStream> {
  const found = await retrieve(asked, call, deps)
  const { spent } = found
  if (kept !== null && (found.answer.degraded !== null || !found.strength.sufficient)) return kept()
  if (!found.strength.sufficient && !asked.settings.answersWhenWeak) {
    return watched(refusal(asked.question, found.facts, deps.clock.nowMs()), { asked, call, place: null, deps, spent })
  }
  const prompt = promptFor(asked, found.answer, deps)
  const stream = generatedAnswer(await deps.relay(generation(asked, prompt, deps), call), groundsOf(asked, prompt), found.facts)
  return watched(stream, { asked, call, place, deps, spent, learn: { model: asked.model, rough: prompt.rough } })
}

/** The request with its texts as they are used. */
function checked(request: AnswerRequest, { questionChars }: AnswerOptions): AnswerRequest {
  const question = withoutInvisible(request.question).trim()
  if (question === '') throw new CorralError('invalid_request', 'the question is empty')
  if (!question.isWellFormed()) throw new CorralError('invalid_request', 'the question holds half a character')
  if (question.length > questionChars)
    throw new CorralError('invalid_request', `the question has ${question.length} characters, more than ${questionChars}`)
  if (request.collections.length === 0) throw new CorralError('invalid_request', 'no collection to answer from')
  return { ...request, question }
}

function placeFor(asked: AnswerRequest, call: Call, deps: AnswerDeps): Promise<TierPlace | null> {
  const { settings, headers, route } = asked
  const group = call.principal.nodeGroup
  const helpers = [settings.rewritesQuestion ? settings.rewriter : null, settings.reranker]
  const parts = {
    ...asked,
    tenant: call.tenant,
    digest: deps.digestOf(asked.model, group),
    helperDigests: helpers.map((model) => (model === null ? '' : (deps.digestOf(model, group) ?? 'unknown'))),
    retrieval: () => deps.retrievalState?.(call.tenant, asked.collections) ?? '',
  }
  return placeOf(parts, { headers, route, call }, deps)
}

interface Found {
  readonly answer: SearchAnswer
  readonly strength: RetrievalStrength
  readonly facts: SummaryFacts
  /** What the rewriting of the question took. */
  readonly spent: Usage | null
}

async function retrieve(asked: AnswerRequest, call: Call, deps: AnswerDeps): Promise<Found> {
  const { settings, collections } = asked
  const options = deps.options()
  const limitMs = retrievalLimitMs(call, deps.clock.nowMs(), options)
  const { query, usage: spent } = settings.rewritesQuestion
    ? await standalone(asked, call, { deps, limitMs: Math.min(options.rewriteMs, limitMs) })
    : { query: asked.question, usage: null }
  const found = await searchWithin(
    {
      tenant: call.tenant,
      collections,
      query,
      mode: settings.mode,
      limit: settings.passages,
      filter: settings.filter,
      facets: [],
      ...widening(settings),
      perDocument: settings.perDocument,
      reranker: settings.reranker,
      explain: false,
    },
    call,
    {
      search: deps.search,
      clock: deps.clock,
      headers: asked.headers,
      route: asked.route,
      limitMs: retrievalLimitMs(call, deps.clock.nowMs(), options),
    },
  )
  const countsCosines = areMeasured(await deps.embeddersOf(call.tenant, found.versions))
  const strength = strengthOf(query, found, { strengthMin: settings.strengthMin, countsCosines })
  return { answer: found, strength, facts: { query, strength, degraded: found.degraded?.reason ?? null }, spent }
}

/** Characters that a token stands for at least, of languages with spaces; of others passages are cut where they do not fit. */
const charactersPerToken = 3

/** What is asked for around each hit: as much of it that all passages have room in the prompt. */
function widening({ expand, passages, contextTokens, outputTokens }: AnswerSettings) {
  const room = Math.floor((Math.max(0, contextTokens - outputTokens) * charactersPerToken) / passages)
  return {
    neighbours: typeof expand === 'number' ? expand : 0,
    section: expand === 'section',
    passageCharacters: Math.min(Math.max(1, room), passageCharacters.max),
  }
}

function standalone(asked: AnswerRequest, call: Call, { deps, limitMs }: { deps: AnswerDeps; limitMs: number }): Promise<Rewritten> {
  const { question, history, headers, settings, model } = asked
  return rewriteQuestion({ question, history, headers, model: settings.rewriter ?? model, limitMs }, call, deps)
}

function contextTokensOf({ model, settings }: AnswerRequest, { contextOf }: AnswerDeps): number {
  return Math.min(settings.contextTokens, contextOf(model) ?? Infinity)
}

function promptFor(asked: AnswerRequest, found: SearchAnswer, deps: AnswerDeps): GroundedPrompt {
  const { instructions, history, question, model, settings } = asked
  const contextTokens = contextTokensOf(asked, deps)
  // An answer never takes more than half of a small context.
  const outputTokens = Math.min(settings.outputTokens, Math.floor(contextTokens / 2))
  const prompt = buildPrompt({ instructions, hits: found.results, history, question, model, contextTokens, outputTokens }, deps)
  if (prompt.passages.length === 0 && found.results.length > 0) {
    throw new CorralError('invalid_request', `the instructions and the question leave no room for passages in ${contextTokens} tokens`)
  }
  return prompt
}

/** The system message is the operator's; all else in a prompt its reader may read. */
function groundsOf({ instructions, settings }: AnswerRequest, { passages, messages }: GroundedPrompt): Grounds {
  const known = messages.filter(({ role }) => role !== 'system').map(({ content }) => content)
  return { passages, secrets: settings.withholdsPrompt && instructions !== '' ? new PromptSecrets(instructions, known) : null }
}

/** Options in a fixed order; `num_ctx` is always said, because a node's own default cuts long prompts without a word. */
function generation(asked: AnswerRequest, { messages }: GroundedPrompt, deps: AnswerDeps) {
  const { model, settings, headers, options } = asked
  const contextTokens = contextTokensOf(asked, deps)
  const outputMax = Math.min(settings.outputTokens, Math.floor(contextTokens / 2))
  const wished = options.num_predict
  const outputTokens = typeof wished === 'number' && wished > 0 ? Math.min(wished, outputMax) : outputMax
  const others = Object.entries(options)
    .filter(([name]) => !ownOptions.has(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return chatRequest({
    model,
    messages,
    stream: true,
    options: {
      num_ctx: contextTokens,
      num_predict: outputTokens,
      temperature: options.temperature ?? settings.temperature,
      ...Object.fromEntries(others),
    },
    headers,
  })
}

const ownOptions = new Set(['num_ctx', 'num_predict', 'temperature'])

interface Watch {
  readonly asked: AnswerRequest
  readonly call: Call
  readonly place: TierPlace | null
  readonly deps: AnswerDeps
  readonly spent?: Usage | null
  readonly learn?: { readonly model: string; readonly rough: number }
}

/** The same stream; at its end the answer is kept, and the model's count of tokens learned. */
function watched(stream: AnswerStream, { asked, call, place, deps, learn, spent = null }: Watch): AnswerStream {
  return {
    sources: stream.sources,
    provenance: stream.provenance,
    kept: stream.kept,
    headers: stream.headers,
    async run(sink) {
      const ended = await stream.run(sink)
      if (learn !== undefined) deps.budgets.learn(learn.model, learn.rough, ended.outcome.usage?.promptTokens ?? null)
      const finished = { ...ended, outcome: withSpent(ended.outcome, spent) }
      if (place !== null) void keep(place, finished, deps)
      deps.onAnswered?.(finished, asked, call)
      return finished
    },
    cancel: (reason) => stream.cancel(reason),
  }
}

/** The outcome with what was spent besides. Of an answer that shares another's generation only that is its own. */
function withSpent(outcome: Outcome, spent: Usage | null): Outcome {
  if (spent === null) return outcome
  const { usage } = outcome
  if (outcome.cached === true || usage === null) return { ...outcome, usage: spent, cached: false }
  const sum = (name: keyof Usage): number | null =>
    usage[name] === null && spent[name] === null ? null : (usage[name] ?? 0) + (spent[name] ?? 0)
  return {
    ...outcome,
    usage: {
      promptTokens: sum('promptTokens'),
      cachedPromptTokens: sum('cachedPromptTokens'),
      outputTokens: sum('outputTokens'),
      loadMs: sum('loadMs'),
      promptMs: sum('promptMs'),
      outputMs: sum('outputMs'),
      totalMs: sum('totalMs'),
    },
  }
}
