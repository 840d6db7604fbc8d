/**
 * What the one-pass scanner (`wire/envelope.ts`) found at the top level of a JSON body: enough to route it and to splice
 * single fields, without ever parsing and re-serialising the body.
 */

/** Byte range of a value in the body: `[start, end)`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export type JsonKind = 'string' | 'number' | 'object' | 'array' | 'true' | 'false' | 'null'

export interface EnvelopeField extends ByteRange {
  readonly kind: JsonKind
}

/** Runner options that reload a model when they differ (ollama-contract-verified.md §b), as found under `options` (and `shift`). */
export type RunnerOptions = Readonly<Record<string, number | boolean>>

/** How large a prompt is as it was sent; bytes of images are in none of them. */
export interface PromptSize {
  readonly asciiBytes: number
  /** Of characters beyond ASCII, give or take a third. */
  readonly otherBytes: number
  readonly images: number
}

export interface Envelope {
  /** Top-level fields by their decoded key in lower case, as Ollama compares them. Empty for a body that is no JSON object. */
  readonly fields: ReadonlyMap<string, EnvelopeField>
  /** `model`, or `name` where `model` is absent or empty ("first non-empty"); null when neither is a non-empty string. */
  readonly model: string | null
  /** Explicit `stream`; null when absent or not a boolean. */
  readonly stream: boolean | null
  /** Runner options in effect by the request itself. */
  readonly runnerOptions: RunnerOptions
  /** False when `options` has a runner option of a type, or `keep_alive` a text, that every Ollama refuses before it loads anything. */
  readonly optionsFit: boolean
  /** True when the request only loads or unloads a model (empty prompt, messages or input). */
  readonly empty: boolean
  /** Seconds of `keep_alive`, `Infinity` for negative, null when absent or unreadable. */
  readonly keepAliveSeconds: number | null
  /** Rough prompt size in tokens (bytes of text in prompt-like fields / 4, and a number for each image), for cost estimates only. */
  readonly promptTokens: number
  /** What a prompt's tokens depend on. */
  readonly promptSize: PromptSize
  /** Upper bound of output tokens when the client set one (`num_predict`, `max_tokens`, `max_output_tokens`), else null. */
  readonly outputTokensMax: number | null
  /** Stable hash of what a follow-up turn of this conversation shares with it (model, system, first user message), or null. */
  readonly conversationKey: string | null
  /** False when the body is no well-formed JSON object as far as the scanner looked: a node then gives the exact error text. */
  readonly wellFormed: boolean
}
