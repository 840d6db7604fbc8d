/**
 * Why one request went the way it went, kept only for those that asked (`X-Corral-Explain`): the layers note their decisions
 * as they make them. Nothing of what the request says is in it. A layer that finds none on the call does nothing.
 */

/** A node as it was looked at for a place. */
export interface ExplainedCandidate {
  readonly node: string
  /** In the unit of the policy; smaller is better. */
  readonly cost: number
  /** Why the policy put it where it stands. */
  readonly reason: string
  readonly residency: 'resident' | 'loading' | 'cold'
  readonly inFlight: number
  /** Null: nobody bounds them. */
  readonly slots: number | null
  readonly cachedTokens: number
  readonly loadRemainingMs: number
  readonly loadMs: number
  readonly evictionMs: number
  readonly penalty: number
  /** Why it could take nothing at that moment; null when it could. */
  readonly blocked: string | null
}

/** One look at the nodes of a model. */
export interface ChoiceStep {
  readonly kind: 'choice'
  readonly model: string
  readonly policy: string
  /** Null: the request waits. */
  readonly node: string | null
  readonly reason: string | null
  /** Time in the line until now. */
  readonly waitedMs: number
  /** Requests that stand before it in the line. */
  readonly queuedAhead: number
  /** Best first. */
  readonly candidates: readonly ExplainedCandidate[]
  /** Nodes of the model that were no candidates, and why. */
  readonly passedOver: readonly { readonly node: string; readonly why: string }[]
}

/** One try at a node, when it ended. */
export interface AttemptStep {
  readonly kind: 'attempt'
  readonly node: string
  readonly startedAtMs: number
  /** To its first frame; null when none came. */
  readonly firstFrameMs: number | null
  readonly durationMs: number
  readonly outcome: string
  /** What went wrong, as a kind and in words; null: nothing. */
  readonly failure: { readonly kind: string; readonly message: string } | null
}

/** The end of a call: of the request, or of one that it made on its way, such as the embedding of its question. */
export interface AnswerStep {
  readonly kind: 'answer'
  readonly call: string
  readonly route: string
  readonly model: string | null
  readonly status: number
  readonly outcome: string
  readonly error: { readonly code: string; readonly message: string } | null
  readonly node: string | null
  /** What the cache did; null: it was not asked. */
  readonly cache: { readonly outcome: string; readonly status: string } | null
  /** Inside the node, as it reported; null: it did not. */
  readonly loadMs: number | null
  readonly promptMs: number | null
  readonly outputMs: number | null
  readonly promptTokens: number | null
  readonly outputTokens: number | null
}

/** An entry of the cache that the answer, or the vector of one text, is looked for under. */
export interface ExplainedEntry {
  /** For a purge by key: 64 hex digits. */
  readonly key: string
  readonly inMemory: boolean
}

/** Where a call that may be cached is looked for, before it is. */
export interface CacheStep {
  readonly kind: 'cache'
  readonly route: string
  /** One, or one per text to embed; of many the first. */
  readonly entries: readonly ExplainedEntry[]
  readonly entriesDropped: number
  /** What of the body is in the key, by name, with a digest that only this gateway can make: equal where the values are. */
  readonly parts: readonly { readonly name: string; readonly digest: string }[]
}

export type ExplainedStep = ChoiceStep | AttemptStep | AnswerStep | CacheStep

/** A step and when it happened. `atMs`: since the request arrived. `looks`: a wait is one step, however often it was looked at. */
export type TimedStep = ExplainedStep & { readonly atMs: number; readonly looks: number }

/** Enough for every try of a request and of what it makes on its way; what is beyond is counted. */
const stepsMax = 64

export class Explanation {
  readonly #receivedAtMs: number
  readonly #steps: TimedStep[] = []
  #dropped = 0
  /** True when the request itself has ended. */
  done = false

  /** `receivedAtMs`: when the client's request arrived. Calls made on its way arrive later and note their steps here too. */
  constructor(receivedAtMs: number) {
    this.#receivedAtMs = receivedAtMs
  }

  get steps(): readonly TimedStep[] {
    return this.#steps
  }

  get dropped(): number {
    return this.#dropped
  }

  /** Milliseconds from the arrival of the request to `nowMs`. */
  since(nowMs: number): number {
    return Math.round(nowMs - this.#receivedAtMs)
  }

  note(step: ExplainedStep, nowMs: number): void {
    const atMs = this.since(nowMs)
    const last = this.#steps.at(-1)
    const isSameWait = last?.kind === 'choice' && step.kind === 'choice' && last.node === null && last.model === step.model
    if (isSameWait && step.node === null) this.#steps[this.#steps.length - 1] = { ...step, atMs: last.atMs, looks: last.looks + 1 }
    else if (this.#steps.length < stepsMax) this.#steps.push({ ...step, atMs, looks: 1 })
    else this.#dropped += 1
  }
}
