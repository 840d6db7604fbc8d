/** The day and the month, in UTC, in which GPU time counts, and when they end. Pure: time is an argument. */

export type Period = 'day' | 'month'

const msPerDay = 86_400_000

export interface Calendar {
  readonly dayNumber: number
  /** `2026-11-25`. */
  readonly day: string
  /** `2026-11`. */
  readonly month: string
  readonly endsAtMs: Readonly<Record<Period, number>>
}

/** The days since 1970-01-01 UTC. */
export function dayNumberOf(wallMs: number): number {
  return Math.floor(wallMs / msPerDay)
}

export function calendarAt(wallMs: number): Calendar {
  const date = new Date(wallMs)
  const day = date.toISOString().slice(0, 10)
  const dayNumber = dayNumberOf(wallMs)
  return {
    dayNumber,
    day,
    month: day.slice(0, 7),
    endsAtMs: { day: (dayNumber + 1) * msPerDay, month: Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) },
  }
}
