/**
 * Node's own slices of a buffer to text, without the argument checks of `toString`, which cost more than the copy for the
 * short texts of the hot path. Not in the public documentation, but the ground of `toString` since Node 0.x and relied on by
 * undici.
 */
interface Buffer {
  /** Text of `[start, end)`, one character per byte. */
  latin1Slice(start: number, end: number): string
  /** Text of `[start, end)` as UTF-8. */
  utf8Slice(start: number, end: number): string
}
