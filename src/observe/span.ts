/** A finished span: one piece of work with its begin, end, and what it came to. */

/** Left out where there is nothing to say. */
export type AttributeValue = string | number | boolean | readonly string[]
export type Attributes = Readonly<Record<string, AttributeValue | null>>

export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string | null
  readonly state: string | null
  readonly name: string
  readonly kind: 'internal' | 'server' | 'client'
  /** Monotonic milliseconds. */
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Attributes
  readonly events: readonly { readonly name: string; readonly atMs: number }[]
  /** Why it failed, in a word or a sentence; null: it did not. */
  readonly failure: string | null
}

/** Takes spans; never throws, never waits. */
export interface SpanSink {
  push(span: Span): void
}
