/**
 * What ingest needs from others; `app.ts` hands these functions over: parsing and fetching are `ingest/parse`, embedding is the gateway's
 * own, writing and deleting are `search`. Ingest reads the tables of collections and documents itself (`documents-stored.ts`), but never
 * writes them.
 */
import type { Clock } from '../base/clock.ts'
import type { EmbeddedChunk, Embedded, EmbedOptions, Metadata, ParsedDocument } from '../core/corpus.ts'
import type { Database, Transaction } from '../store/database.ts'
import type { Job } from './job.ts'
import type { IngestOptions } from './job-options.ts'
import type { TokenEstimates } from './token-estimate.ts'

export interface SourceBytes {
  readonly bytes: Uint8Array
  /** A file name, shown and used as a hint only. */
  readonly name: string
  readonly declaredType: string | null
}

/** Makes blocks of bytes in a process of its own; `signal` kills it. Rejects with a `CorralError`; one that is not retryable ends the job. */
export type Parse = (source: SourceBytes, options: { readonly signal: AbortSignal }) => Promise<ParsedDocument>

/**
 * Adds to what a parser found, before it is cut: the structure of a table, the text of a picture. Gives the whole document anew, its blocks
 * counted in the text that it gives. `signal` ends it; what it throws ends the attempt as a parser's error does.
 */
export type Enrich = (parsed: ParsedDocument, source: SourceBytes, options: { readonly signal: AbortSignal }) => Promise<ParsedDocument>

/** Gets a page from outside, safely. */
export type FetchSource = (url: string, options: { readonly signal: AbortSignal }) => Promise<SourceBytes>

/** As `Embed`; when the embedder's own count of tokens is handed on, estimates learn from it. */
export type EmbedCounted = (
  texts: readonly string[],
  options: EmbedOptions,
) => Promise<Embedded & { readonly promptTokens?: number | null }>

export interface DocumentWrite {
  readonly tenant: string
  /** The collection's id. */
  readonly collection: string
  readonly document: {
    readonly id: string
    readonly title: string
    readonly uri: string | null
    readonly metadata: Metadata
    readonly contentType: string
    readonly contentHash: string
    readonly sizeBytes: number
    readonly text: string
    readonly pages: number | null
    readonly warnings: readonly string[]
  }
  /** A null vector: the one that is held for the chunk's hash stays; where none is held, the chunk is found by its words only. */
  readonly chunks: readonly EmbeddedChunk[]
  /** Of the vectors; null when there are none. */
  readonly embedding: { readonly model: string; readonly digest: string } | null
}

/** Replaces the document and raises the collection's version, in the caller's transaction. */
export type WriteDocument = (transaction: Transaction, write: DocumentWrite) => Promise<unknown>

export interface DocumentPlace {
  readonly tenant: string
  readonly collection: string
  readonly document: string
}

/** Removes all that search holds of a document; false when there was none. */
export type DeleteDocument = (transaction: Transaction, place: DocumentPlace) => Promise<boolean>

/** What one set of vectors holds of the chunks of a visible document. */
interface HeldVectors {
  /** Of the set; null: there is none. */
  readonly digest: string | null
  /** Of chunks that have a vector in it. */
  readonly hashes: ReadonlySet<string>
}

/** Of the live set of the embedder's `digest`; null: nobody knows its digest now, so of the newest set. */
export type ReadHeldVectors = (transaction: Transaction, place: DocumentPlace, digest: string | null) => Promise<HeldVectors>

/** Whether a chunk of the visible document has no vector in that set; false where the store can keep no vectors. */
export type LacksVectors = (transaction: Transaction, place: DocumentPlace, digest: string | null) => Promise<boolean>

/** What an attempt at a job did to its document. */
export interface WrittenDocument {
  readonly outcome: 'written' | 'unchanged' | 'duplicate'
  /** As it was found to be; null: it was not looked into. */
  readonly contentType: string | null
  readonly chunks: number
  readonly sizeBytes: number
}

/** How an attempt ended; `code` of the error when it did not reach the end. */
export type AttemptResult =
  ({ readonly state: 'done' } & WrittenDocument) | { readonly state: 'queued' | 'paused' | 'failed'; readonly code: string }

/** What ingest tells of itself. */
export interface IngestEvents {
  /** A job passed a stage. */
  stagePassed(stage: string, tookMs: number): void
  /** A batch of texts was given to an embedder. */
  embedded(texts: number, isOk: boolean): void
  /** `job` as it was when the attempt began. */
  attemptEnded(job: Job, result: AttemptResult, tookMs: number): void
}

export interface IngestDeps {
  readonly database: Database
  readonly clock: Clock
  /** 0 to below 1. */
  readonly random: () => number
  readonly options: () => IngestOptions
  readonly estimates: TokenEstimates
  readonly parse: Parse
  /** In the order in which they are applied, each to what the one before gave. */
  readonly enrichers: readonly Enrich[]
  readonly fetchSource: FetchSource
  readonly embed: EmbedCounted
  readonly writeDocument: WriteDocument
  readonly deleteDocument: DeleteDocument
  /** Removes the tenant's answers that are kept, since one may quote a document that was removed a moment ago. */
  readonly forgetAnswers: (tenant: string) => Promise<void>
  readonly heldVectors: ReadHeldVectors
  readonly lacksVectors: LacksVectors
  /** Of the build of `model` that the nodes have now; null while none has it. */
  readonly embedderDigest: (model: string) => string | null
  /** Longest input of the embedder in tokens; null when nobody knows. */
  readonly contextTokens: (model: string) => Promise<number | null>
  /** Left out: nobody hears. */
  readonly events?: IngestEvents
  /** Something failed in the background that no caller hears of. */
  readonly onTrouble: (error: unknown) => void
}
