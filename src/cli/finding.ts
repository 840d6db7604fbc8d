/** What `corral doctor` finds: one thing it looked at, how it is, and what to do about it. */
export interface Finding {
  readonly check: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly detail: string
  readonly hint?: string
}
