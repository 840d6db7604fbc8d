/** What a citation marker refers to, as the model wrote it. */

export interface Reference {
  readonly number: number
  /** What the model claims to quote; null: nothing. */
  readonly quote: string | null
}
