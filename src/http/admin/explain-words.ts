/** The steps of an explanation in sentences, for somebody who has a minute. */
import { formatDuration } from '../../base/units.ts'
import type { BypassReason } from '../../cache/policy.ts'
import type { AnswerStep, AttemptStep, CacheStep, ChoiceStep, ExplainedCandidate } from '../../core/explanation.ts'
import type { ExplainedRequest } from '../../observe/explained.ts'

/** What kept an answer out of the cache, and what would let it in. */
const bypassWords: Readonly<Record<BypassReason, string>> = {
  off: 'the cache is off for this route, credential or request',
  'no-store': 'the request said Cache-Control: no-store',
  sampling:
    'the request pins neither temperature 0 nor a seed, so that two answers are meant to differ (X-Corral-Cache: on caches it anyway)',
  empty: 'it asks for no answer, but loads or unloads a model',
  unload: 'it unloads the model when it is answered (keep_alive 0)',
  cloud: 'answers of cloud models are never kept',
  'no-model': 'it names no model',
  'no-digest': 'no node has told the digest of the model yet',
  unkeyable: 'its body has no form that equal requests share',
  'too-large': 'its body is larger than cache.bodyBytesMax',
}

const wordsByReason = new Map<string, string>(Object.entries(bypassWords))

/** One sentence per step. */
export function summaryOf({ id, steps, done, stepsDropped }: ExplainedRequest): string[] {
  const sentences = steps.map((step) => {
    switch (step.kind) {
      case 'choice':
        return choiceWords(step)
      case 'attempt':
        return attemptWords(step)
      case 'answer':
        return answerWords(step, id)
      case 'cache':
        return keyWords(step)
    }
  })
  return [
    ...sentences,
    ...(stepsDropped === 0 ? [] : [`${stepsDropped} more steps were not kept`]),
    ...(done ? [] : ['the request is still under way']),
  ]
}

function choiceWords({ model, policy, node, reason, waitedMs, queuedAhead, candidates, passedOver }: ChoiceStep): string {
  const others = candidates.filter((candidate) => candidate.node !== node)
  const chosen = candidates.find((candidate) => candidate.node === node)
  const out = passedOver.map(({ node: name, why }) => `${name}: ${why}`)
  const losers = [...others.map((other) => `${other.node}: ${loserWords(other, chosen ?? null)}`), ...out]
  const beside = losers.length === 0 ? '' : `; ${losers.join('; ')}`
  if (node === null) return `waits for a place for ${model}, ${queuedAhead} ahead of it${beside}`
  const waited = waitedMs === 0 ? '' : ` after ${formatDuration(waitedMs)} in the line`
  return `${node} was chosen${waited} (${reason}; policy ${policy}${chosen === undefined ? '' : `, cost ${chosen.cost}`})${beside}`
}

function loserWords(
  { cost, residency, inFlight, slots, penalty, blocked, evictionMs }: ExplainedCandidate,
  chosen: ExplainedCandidate | null,
): string {
  const facts = [
    `cost ${cost}`,
    slots === null ? `${inFlight} under way` : `${inFlight} of ${slots} slots busy`,
    ...(residency === 'resident' ? [] : [residency === 'cold' ? 'model not in memory' : 'model being loaded']),
    ...(evictionMs === 0 ? [] : ['loading would push out a wanted model']),
    ...(penalty === 0 ? [] : ['in doubt after failures or a fresh start']),
    ...(chosen !== null && chosen.cost === cost ? ['a tie: chosen more recently'] : []),
  ]
  return `${facts.join(', ')}${blocked === null ? '' : ` (${blocked})`}`
}

function attemptWords({ node, firstFrameMs, durationMs, outcome, failure }: AttemptStep): string {
  const first = firstFrameMs === null ? '' : `, first frame after ${formatDuration(firstFrameMs)}`
  if (failure !== null) return `${node} failed after ${formatDuration(durationMs)}${first} (${failure.kind}): ${failure.message}`
  return `${node} ended in ${formatDuration(durationMs)}${first}: ${outcome}`
}

function answerWords({ call, route, status, outcome, error, cache, loadMs, promptMs, outputMs }: AnswerStep, id: string): string {
  const what = call === id ? 'the answer' : `a request made on the way (${route})`
  const spent = [
    ['load', loadMs],
    ['prompt', promptMs],
    ['output', outputMs],
  ].flatMap(([name, ms]) => (typeof ms === 'number' && ms >= 1 ? [`${name} ${formatDuration(ms)}`] : []))
  const inside = spent.length === 0 ? '' : `; in the node: ${spent.join(', ')}`
  const failed = error === null ? '' : ` (${error.code}: ${error.message})`
  return `${what}: ${status} ${outcome}${failed}; cache: ${cacheWords(cache)}${inside}`
}

function keyWords({ route, entries, entriesDropped, parts }: CacheStep): string {
  const keys = entries.map(({ key, inMemory }) => `${key}${inMemory ? ' (in memory)' : ''}`)
  const more = entriesDropped === 0 ? '' : ` and ${entriesDropped} more`
  const made = parts.length === 0 ? '' : `, made of ${parts.map(({ name }) => name).join(', ')}`
  return `${route} is looked for in the cache under the key ${keys.join(', ')}${more}${made}`
}

function cacheWords(cache: AnswerStep['cache']): string {
  if (cache === null) return 'not asked'
  const { outcome, status } = cache
  if (outcome === 'bypass') {
    const reason = /detail=([\w-]+)/.exec(status)?.[1] ?? 'no-store'
    return `passed by, ${wordsByReason.get(reason) ?? reason}`
  }
  if (outcome === 'joined') return 'shares the answer of an equal request that was under way, whose nodes are not told here'
  if (outcome === 'hit') return `answered from ${/detail=([\w-]+)/.exec(status)?.[1] ?? 'a layer'}, no node was asked`
  return status.includes('fwd=stale')
    ? 'what was stored is too old'
    : status.includes('fwd=request')
      ? 'the request wanted a fresh answer'
      : 'nothing stored'
}
