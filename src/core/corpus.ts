/**
 * The vocabulary of documents and search, shared by `search`, `ingest`, `answer` and the surfaces: what a document is made of, what a
 * collection is set to, what a search asks and gives. Types and limits only; no I/O and no policy.
 *
 * Offsets are counted in UTF-16 code units of the document's `text` (JavaScript string offsets), `start` inclusive, `end` exclusive, so
 * that `text.slice(start, end)` is what a citation shows.
 */

/** What a block is, as far as chunking must know: tables and code are never joined with anything. */
export type BlockKind = 'heading' | 'paragraph' | 'list' | 'quote' | 'table' | 'code' | 'row'

/** A piece of a document as its author made it. */
export interface Block {
  readonly kind: BlockKind
  readonly start: number
  readonly end: number
  /** From 1; null where the format has no pages. A slide is a page, and so is a sheet. */
  readonly page: number | null
  /** The headings above it, outermost first; a heading's own text is not in its own path. */
  readonly headings: readonly string[]
  /** Of a heading, 1–6; else null. */
  readonly level: number | null
}

/** What a parser makes of bytes. Blocks are in reading order, do not overlap, and are not empty. */
export interface ParsedDocument {
  /** Null where the format has none: then the name of the file is shown. */
  readonly title: string | null
  readonly text: string
  readonly blocks: readonly Block[]
  /** Media type by content, never by name. */
  readonly contentType: string
  readonly pages: number | null
  /** What the owner should know, e.g. `page 3 has no text layer: needs OCR`. */
  readonly warnings: readonly string[]
}

/** What is embedded, searched and cited: one or more blocks of a document, or a part of a long one. */
export interface Chunk {
  /** From 0, in reading order. */
  readonly ordinal: number
  /** `document.text.slice(start, end)`. */
  readonly text: string
  readonly start: number
  readonly end: number
  readonly page: number | null
  readonly headings: readonly string[]
  readonly kind: 'text' | 'table' | 'code' | 'row'
  /** What the embedder reads: title and heading path before the text. */
  readonly embedText: string
  /** SHA-256 of `embedText`, hex: chunks with the same one share a vector. */
  readonly hash: string
}

export interface EmbeddedChunk extends Chunk {
  /** L2-normalised; null while the embedder is down: the chunk is then found by its words only. */
  readonly vector: Float32Array | null
}

export interface ChunkingSettings {
  /** What a chunk aims at, in tokens of the embedder. */
  readonly targetTokens: number
  /** What no chunk exceeds; never more than the embedder's own context. */
  readonly maxTokens: number
  /** Text of the chunk before that a chunk repeats, in tokens. */
  readonly overlapTokens: number
}

/** What one collection may have of its own. */
export interface CollectionSettings {
  /** The model that embeds it; null: words only. */
  readonly embedder: string | null
  /** Stemming: a language of `search/tokenise`, `none`, or `auto` (by the text of each document). */
  readonly language: string
  readonly chunking: ChunkingSettings
  /** Share of the vector leg in the fused score, 0–1. */
  readonly fusionWeight: number
  /** Documents older than this are removed; null: never. */
  readonly retentionDays: number | null
  /** `half`: 16-bit floats, half the space at nearly the same ranking. Left out: `full`. */
  readonly vectorStorage?: 'full' | 'half'
  /** How vectors are looked up once there are many (`corral tune`). Left out: HNSW with pgvector's own settings. */
  readonly vectorIndex?: VectorIndexSettings
}

/** pgvector's two indexes with their parameters, or none. */
export type VectorIndexSettings =
  | { readonly kind: 'exact' }
  | { readonly kind: 'hnsw'; readonly m: number; readonly efConstruction: number; readonly efSearch: number }
  | { readonly kind: 'ivfflat'; readonly lists: number; readonly probes: number }

export type MetadataValue = string | number | boolean | null | readonly (string | number | boolean)[]

/** Flat; dates are ISO 8601 strings. */
export type Metadata = Readonly<Record<string, MetadataValue>>

export interface Collection {
  readonly id: string
  readonly name: string
  readonly settings: CollectionSettings
  /** Raised in the same transaction as every change of what can be found: caches carry it in their keys (`caching.md` §2.6). */
  readonly version: number
  readonly documents: number
  readonly chunks: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** A document as it is listed and shown with a result. */
export interface DocumentHead {
  readonly id: string
  readonly title: string
  readonly uri: string | null
  readonly metadata: Metadata
}

export type SearchMode = 'keyword' | 'vector' | 'hybrid'

/** One condition on a document's metadata or on its own fields (`id`, `title`, `uri`, `contentType`, `createdAt`); a list of them is an AND. */
export type FilterCondition =
  | { readonly field: string; readonly op: 'eq' | 'ne'; readonly value: string | number | boolean }
  | { readonly field: string; readonly op: 'in'; readonly values: readonly (string | number | boolean)[] }
  /** Numbers as numbers, ISO 8601 dates as dates; a left-out end is open. */
  | { readonly field: string; readonly op: 'range'; readonly from?: number | string; readonly to?: number | string }
  | { readonly field: string; readonly op: 'exists'; readonly present: boolean }
  /** The field is a list with this item, or a text with this part (case-insensitive). */
  | { readonly field: string; readonly op: 'contains'; readonly value: string | number | boolean }

/** Collections that one search looks through. */
export const searchedCollectionsMax = 10

export interface SearchRequest {
  readonly tenant: string
  /** Names; searched together, fused by their own weights. */
  readonly collections: readonly string[]
  readonly query: string
  readonly mode: SearchMode
  readonly limit: number
  readonly filter: readonly FilterCondition[]
  /** Metadata fields whose values are counted over all documents that the filter lets through. */
  readonly facets: readonly string[]
  /** Chunks before and after each hit that are given with it. */
  readonly neighbours: number
  /** Instead of neighbours: the section that a hit is part of, as far as it fits. */
  readonly section: boolean
  /** Characters of a hit with what is given around it. Left out: 8,000. */
  readonly passageCharacters?: number
  /** One hit per document. */
  readonly perDocument: boolean
  /** A chat model that orders the best hits again; null: none. */
  readonly reranker: string | null
  /** Left out: the collection's own. */
  readonly fusionWeight?: number
  readonly explain: boolean
}

/** A range of a chunk's text, from its own begin. */
export interface Highlight {
  readonly start: number
  readonly end: number
}

export interface SearchHit {
  readonly collection: string
  readonly document: DocumentHead
  readonly chunk: {
    /** `<document id>#<ordinal>`. */
    readonly id: string
    readonly text: string
    readonly start: number
    readonly end: number
    readonly page: number | null
    readonly headings: readonly string[]
    readonly kind: Chunk['kind']
  }
  /** Fused, 0–1. */
  readonly score: number
  /** As each leg gave it: BM25 (no upper bound), cosine (−1–1); null: not found by that leg. */
  readonly scores: { readonly keyword: number | null; readonly vector: number | null; readonly rerank: number | null }
  /** The chunk has no vector yet by which it could have been found. */
  readonly lacksVector?: true
  readonly highlights: readonly Highlight[]
  /** What stands around the chunk, when asked for; else empty. `before + chunk.text + after` is the document's own text over `passage`. */
  readonly before: string
  readonly after: string
  readonly passage: { readonly start: number; readonly end: number }
}

export interface SearchAnswer {
  readonly results: readonly SearchHit[]
  /** Values of each asked field with the number of documents, most frequent first. */
  readonly facets: Readonly<Record<string, readonly { readonly value: string; readonly count: number }[]>>
  readonly timings: {
    readonly embedMs: number
    readonly keywordMs: number
    readonly vectorMs: number
    readonly fuseMs: number
    readonly rerankMs: number
    readonly totalMs: number
  }
  /** A leg was asked for and could not be had; `reason` says why. */
  readonly degraded: { readonly reason: string } | null
  /** Version of each collection, read before anything was looked up. */
  readonly versions: Readonly<Record<string, number>>
  /** How each leg was run and why; present when asked for. */
  readonly explain?: readonly string[]
}

/** Embeds texts through the fleet and its caches; L2-normalised, in order. Rejects with a `CorralError`. */
export type Embed = (texts: readonly string[], options: EmbedOptions) => Promise<Embedded>

export interface EmbedOptions {
  readonly model: string
  readonly tenant: string
  /** `query` and `document` get the prefixes some models ask for. */
  readonly role: 'query' | 'document'
  /** Interactive work goes before batch work. */
  readonly priority: 'interactive' | 'batch'
  readonly signal: AbortSignal
}

export interface Embedded {
  readonly vectors: readonly Float32Array[]
  /** The model's digest on every node that answered; vectors of two digests never mix. */
  readonly digest: string
}
