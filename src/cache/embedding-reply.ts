/** Answers of the embedding cache, put together from vectors, with what their headers and counters say of it. */
import type { Clock } from '../base/clock.ts'
import type { Answer, Outcome, Usage, WholeAnswer } from '../core/relay.ts'
import { forwardedHeaders, hitHeaders, joinedHeaders, partialHeaders } from './answer-headers.ts'
import { contentTypeOf, joinVectors, type Vector } from './embedding-answer.ts'
import type { EmbedAsker } from './embedding-asker.ts'
import type { Got } from './embedding-work.ts'

/** All of it only grows. Requests, where it does not say texts. */
export interface EmbeddingCounters {
  hits: number
  /** Of some texts the vector was known, others were asked for. */
  partial: number
  misses: number
  /** Waited for texts that another request asked for. */
  joined: number
  bypasses: number
  /** Upstream calls for embeddings. */
  upstream: number
  textsComputed: number
  /** Texts of requests that nobody had to compute for them. */
  textsSaved: number
}

export function newEmbeddingCounters(): EmbeddingCounters {
  return { hits: 0, partial: 0, misses: 0, joined: 0, bypasses: 0, upstream: 0, textsComputed: 0, textsSaved: 0 }
}

type Gathered = ReadonlyMap<string, Got>

export class Reply {
  readonly #clock: Clock
  readonly #counters: EmbeddingCounters

  constructor(clock: Clock, counters: EmbeddingCounters) {
    this.#clock = clock
    this.#counters = counters
  }

  /** Everything was stored. */
  hit(asker: EmbedAsker, got: Gathered): Promise<Answer> {
    this.#counters.hits += 1
    const nowMs = this.#clock.nowMs()
    let ageMs = 0
    let freshForMs = Number.POSITIVE_INFINITY
    let detail = 'memory'
    for (const { stored } of got.values()) {
      if (stored === null) continue
      ageMs = Math.max(ageMs, nowMs - stored.item.bornAtMs)
      freshForMs = Math.min(freshForMs, stored.item.expiresAtMs - nowMs)
      if (stored.layer !== 'memory') detail = stored.layer
    }
    return this.#made(asker, got, { headers: hitHeaders(contentTypeOf(asker.request), { ageMs, freshForMs, detail }), cache: 'hit' })
  }

  /** This request asked for nothing, but others did; `inherited`: what upstream answered to those who left, its usage from now on. */
  async joined(asker: EmbedAsker, got: Gathered, inherited: readonly WholeAnswer[]): Promise<Answer> {
    this.#counters.joined += 1
    const headers = joinedHeaders({ 'content-type': contentTypeOf(asker.request) })
    const answer = await this.#made(asker, got, { headers, cache: 'joined' })
    const last = inherited.at(-1)
    if (last === undefined) return answer
    const provenance = { ...last.provenance, cache: 'joined' as const }
    return { ...answer, provenance, outcome: { ...last.outcome, usage: usageOfAll(inherited), bytes: answer.body.length } }
  }

  async #made(
    asker: EmbedAsker,
    got: Gathered,
    { headers, cache }: { readonly headers: Answer['headers']; readonly cache: 'hit' | 'joined' },
  ): Promise<WholeAnswer> {
    const { body, promptTokens } = await this.#body(asker, got)
    const outcome: Outcome = { kind: 'ok', usage: usageOf(promptTokens), frames: 1, bytes: body.length, error: null, cached: true }
    const provenance = { node: null, reason: 'cache', attempts: 0, dispatchedAtMs: this.#clock.nowMs(), cache }
    this.#counters.textsSaved += asker.ask.places.length
    return { kind: 'whole', status: 200, headers, provenance, body, outcome }
  }

  /** Some was stored, or another's, and the rest asked from upstream; what that took is the usage of this request. */
  async partial(asker: EmbedAsker, got: Gathered, answers: readonly [WholeAnswer, ...WholeAnswer[]]): Promise<Answer> {
    this.#counters.partial += 1
    const [first] = answers
    const last = answers.at(-1) ?? first
    const fresh = [...got.values()].filter(({ stored }) => stored === null).length
    this.#counters.textsSaved += Math.max(0, asker.ask.places.length - fresh)
    const { body } = await this.#body(asker, got)
    return {
      ...last,
      headers: partialHeaders(last.headers),
      provenance: { ...last.provenance, cache: 'miss' },
      body,
      outcome: { ...last.outcome, usage: usageOfAll(answers), bytes: body.length },
    }
  }

  /** A node's own answer to the whole request. */
  forwarded({ directives }: EmbedAsker, answer: Answer): Answer {
    this.#counters.misses += 1
    const headers = forwardedHeaders(directives.noCache ? 'request' : 'miss')(answer.headers)
    return { ...answer, headers, provenance: { ...answer.provenance, cache: 'miss' } }
  }

  #body({ ask, request, startedAtMs }: EmbedAsker, got: Gathered): ReturnType<typeof joinVectors> {
    const vectors = ask.places.map((place): Vector => {
      const one = got.get(ask.items[place]?.key ?? '')
      if (one === undefined) throw new Error('a text of the request has no vector')
      return one.vector
    })
    return joinVectors(request, vectors, { form: ask.form, totalMs: this.#clock.nowMs() - startedAtMs })
  }
}

/** The tokens of all, and what the last one reports besides. */
function usageOfAll(answers: readonly WholeAnswer[]): Usage {
  const promptTokens = answers.reduce((sum, { outcome }) => sum + (outcome.usage?.promptTokens ?? 0), 0)
  return { ...(answers.at(-1)?.outcome.usage ?? usageOf(0)), promptTokens }
}

function usageOf(promptTokens: number): Usage {
  return { promptTokens, cachedPromptTokens: null, outputTokens: null, loadMs: null, promptMs: null, outputMs: null, totalMs: null }
}
