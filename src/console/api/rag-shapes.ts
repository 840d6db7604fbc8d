/** What the gateway answers below `/rag`, as far as the console reads it. */

export interface Collection {
  readonly name: string
  readonly documents: number
  readonly chunks: number
  readonly settings: { readonly embedder?: string | null }
  readonly updatedAt: string
}

export interface DocumentHead {
  readonly id: string
  readonly title: string
  readonly uri: string | null
}

export interface StoredDocument extends DocumentHead {
  readonly contentType: string
  readonly sizeBytes: number
  readonly language: string
  readonly pages: number | null
  readonly chunks: number
  readonly warnings: readonly string[]
  readonly revision: number
  readonly createdAt: string
  readonly updatedAt: string
}

export const jobStages = ['upload', 'extract', 'chunk', 'embed', 'index'] as const

export interface JobStage {
  readonly stage: (typeof jobStages)[number]
  readonly done: number
  readonly total: number
  readonly ratePerSecond: number | null
  readonly etaMs: number | null
}

export type JobState = 'queued' | 'running' | 'paused' | 'done' | 'failed' | 'cancelled'

export interface Job {
  readonly id: string
  readonly document: string
  readonly state: JobState
  readonly stage: JobStage['stage']
  readonly stages: readonly JobStage[]
  readonly name: string
  readonly outcome: 'written' | 'unchanged' | 'duplicate' | null
  readonly duplicateOf: string | null
  readonly attempts: number
  readonly error: { readonly code: string; readonly message: string; readonly hint: string | null } | null
  readonly createdAt: string
}

export interface JobPage {
  readonly jobs: readonly Job[]
  readonly counts: Readonly<Partial<Record<JobState, number>>>
  readonly next: string | null
}

export interface Span {
  readonly start: number
  readonly end: number
}

/** One condition on the metadata of documents; several are an AND. */
export interface Condition {
  readonly field: string
  readonly op: 'eq' | 'contains'
  readonly value: string | number | boolean
}

/** Fields of metadata with their values, most frequent first. */
export type Facets = Readonly<Record<string, readonly { readonly value: string; readonly count: number }[]>>

export interface Hit {
  readonly collection: string
  readonly document: DocumentHead & { readonly metadata: Readonly<Record<string, unknown>> }
  readonly chunk: Span & {
    readonly id: string
    readonly text: string
    readonly page: number | null
    readonly headings: readonly string[]
  }
  readonly score: number
  readonly scores: { readonly keyword: number | null; readonly vector: number | null; readonly rerank: number | null }
  readonly highlights: readonly Span[]
  /** What stands around the chunk, when asked for. */
  readonly before: string
  readonly after: string
}

export interface Found {
  readonly results: readonly Hit[]
  readonly facets: Facets
  readonly timings: Readonly<Record<'embedMs' | 'keywordMs' | 'vectorMs' | 'fuseMs' | 'rerankMs' | 'totalMs', number>>
  readonly explain?: readonly string[]
  readonly cached: boolean
  readonly degraded: boolean
  readonly degradedReason: string | null
}

/** A passage that a model was given, or the quote of one. */
export interface Passage extends Span {
  readonly number: number
  readonly collection: string
  readonly document: string
  readonly title: string
  readonly page: number | null
}

export interface Citation extends Passage {
  /** Where its mark stands in the answer. */
  readonly marker: Span
  readonly quote: string
}
