/** Numbers and times as people read them. */

const integer = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

export const dash = '–'

export function formatCount(value: number): string {
  return value >= 100_000 ? compact.format(value) : integer.format(value)
}

/** Two digits that matter; large ones whole. */
export function formatRate(value: number): string {
  if (value >= 100) return integer.format(value)
  return value >= 10 ? value.toFixed(1) : value.toFixed(value === 0 ? 0 : 2)
}

export function formatShare(share: number | null): string {
  if (share === null) return dash
  const percent = share * 100
  return `${percent === 0 || percent >= 10 ? percent.toFixed(0) : percent.toFixed(1)} %`
}

export function formatMs(ms: number | null): string {
  if (ms === null) return dash
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const seconds = ms / 1_000
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`
  const whole = Math.round(seconds)
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min ${whole % 60} s`
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.round(minutes / 1_440)} d`
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 2 ** (10 * power)
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power] ?? 'B'}`
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })
const clockTime = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })

export function formatDateTime(iso: string | null): string {
  return iso === null ? dash : dateTime.format(new Date(iso))
}

export function formatClock(iso: string): string {
  return clockTime.format(new Date(iso))
}

/** How far a moment is away, in either direction. */
export function formatDistance(iso: string, nowMs: number): string {
  const ms = Date.parse(iso) - nowMs
  return ms >= 0 ? `in ${formatMs(ms)}` : `${formatMs(-ms)} ago`
}
