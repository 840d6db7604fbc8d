/** Durations and sizes as people write them: `250ms`, `30s`, `5m`, `2h`, `1d`; `64KiB`, `1MiB`, `2GB`. */

const durationUnitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const byteUnits: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1_000,
  kib: 1_024,
  mb: 1_000_000,
  mib: 1_048_576,
  gb: 1_000_000_000,
  gib: 1_073_741_824,
}

/** Milliseconds of `text` (`1m30s` adds up; a bare number is milliseconds); null when it is no duration. */
export function parseDurationMs(text: string): number | null {
  const trimmed = text.trim()
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed)
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(trimmed)) return null
  let totalMs = 0
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    totalMs += Number(amount) * (durationUnitsMs[unit ?? ''] ?? 0)
  }
  return totalMs
}

/** Bytes of `text` (a bare number is bytes); null when it is no size. */
export function parseBytes(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  if (match === null) return null
  const unit = (match[2] ?? '') === '' ? 1 : byteUnits[(match[2] ?? '').toLowerCase()]
  return unit === undefined ? null : Math.round(Number(match[1]) * unit)
}

/** A duration for people: `340ms`, `1.2s`, `3m05s`, `2h10m`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)}ms`
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(1)}s`
  const minutes = Math.floor(durationMs / 60_000)
  if (minutes < 60) return `${minutes}m${String(Math.round((durationMs % 60_000) / 1_000)).padStart(2, '0')}s`
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`
}
