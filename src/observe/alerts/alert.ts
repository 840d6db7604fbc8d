/** One alert, as plain data. Times are seconds; the rule file writes them as Prometheus does, divided by its scale. */

export interface Alert {
  /** `Corral…`; its runbook is docs/runbooks/<name>.md. */
  readonly name: string
  readonly expr: string
  /** How long it must hold, seconds. */
  readonly forSeconds: number
  readonly severity: 'page' | 'ticket'
  /** One sentence with the figure, in Prometheus' template language. */
  readonly summary: string
  /** The dashboard that shows more. */
  readonly dashboard: string
  readonly slo?: 'availability' | 'first-token'
}

/** Writes a length of time, given in seconds, for use in an expression. */
export type Span = (seconds: number) => string

/** Spans as Prometheus reads them, shortened by `scale`: 60 makes minutes of hours, for tests. */
export function createSpan(scale: number): Span {
  return (seconds) => {
    const ms = Math.round((seconds * 1_000) / scale)
    for (const [unit, unitMs] of units) if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`
    return `${ms}ms`
  }
}

const units = [['d', 86_400_000], ['h', 3_600_000], ['m', 60_000], ['s', 1_000]] as const // prettier-ignore

export const minute = 60
export const hour = 60 * minute
export const day = 24 * hour
