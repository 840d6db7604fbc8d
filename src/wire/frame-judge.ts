/**
 * What a stream reader needs of a format: where a frame ends and what it means. Two formats exist, NDJSON and SSE. A judge
 * looks at the bytes of its frame only, so that the chunk a frame came in cannot change what it means.
 */

/**
 * What one frame means. `blank`: a line of nothing, which no client ever gets; `comment`: a keep-alive that clients may get
 * once the answer has begun.
 */
export type FrameKind = 'data' | 'blank' | 'comment' | 'done' | 'error' | 'died' | 'malformed'

export interface FrameJudge {
  /**
   * Length in bytes of the frame that begins at `start`, terminator included; -1 when it is not complete. `seenTo`: these
   * bytes were asked about before, up to there, and had no end.
   */
  frameLength(bytes: Buffer, start: number, seenTo: number): number
  judge(bytes: Buffer, start: number, end: number): FrameKind
  /** Message of the last frame judged `error`. */
  readonly message: string | null
  /** True when the answer stopped because one token came again and again (verified notes, T083). */
  readonly repeated: boolean
}

/** Bytes `[start, end)` of a buffer. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Whether `text` stands in `[start, end)`. A chunk often is one frame: no view is made of it then. */
export function holds(bytes: Buffer, { start, end }: Span, text: Buffer): boolean {
  return end === bytes.length ? bytes.includes(text, start) : bytes.subarray(start, end).includes(text)
}
