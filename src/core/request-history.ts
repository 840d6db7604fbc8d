/** Requests that have ended, one by one, as the ledger gives them, the operator's routes answer them and the console reads them. */

/** One request, as kept. Times in milliseconds. */
export interface HistoryEntry {
  readonly id: string
  /** ISO 8601, when the answer ended. */
  readonly at: string
  readonly tenant: string
  readonly subject: string | null
  readonly model: string | null
  readonly node: string | null
  readonly route: string
  readonly status: number
  readonly outcome: string
  readonly error: string | null
  readonly cache: string | null
  readonly stream: boolean
  readonly attempts: number
  readonly durationMs: number
  readonly ttftMs: number | null
  readonly promptTokens: number
  readonly cachedPromptTokens: number
  readonly outputTokens: number
  readonly gpuSeconds: number
  /** Why this node (`least-loaded`, `retry`, …), or `cache`; null: no answer, or a record from before this was kept. */
  readonly reason: string | null
  /** From arrival to the first try on a node, and from that to the last one; null: no node was asked for this request alone. */
  readonly queueMs: number | null
  readonly retryMs: number | null
  /** Inside the node, as it reported; null: it did not. */
  readonly loadMs: number | null
  readonly promptMs: number | null
  readonly outputMs: number | null
  /** Whether some of the tokens or the GPU time are an estimate: the node did not report them. */
  readonly estimated: boolean
}

export interface HistoryPage {
  readonly requests: readonly HistoryEntry[]
  /** `before` of the next page; null: this was the last. */
  readonly next: string | null
}

/** One request with its words. Null: not kept, or nothing was said. */
export interface HistoryDetail extends HistoryEntry {
  /** What the client sent, as it came. */
  readonly prompt: string | null
  readonly promptCut: boolean
  /** What the model said. */
  readonly answer: string | null
  readonly answerCut: boolean
}
