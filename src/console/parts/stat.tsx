/** One figure with its name, and how it went lately. */
import { Sparkline } from './sparkline.tsx'
import type { Tone } from './state-badge.tsx'

const inks: Readonly<Record<Tone, string>> = { ok: '', quiet: '', warn: 'text-warn', bad: 'text-bad' }

export interface StatProps {
  readonly label: string
  readonly value: string
  readonly note?: string
  readonly tone?: Tone
  readonly series?: readonly (number | null)[]
}

export function Stat({ label, value, note, tone = 'quiet', series }: StatProps) {
  return (
    <div className="panel flex min-w-0 flex-col px-4 pt-3 pb-2">
      <dt className="truncate text-sm text-quiet">{label}</dt>
      <dd className={`text-2xl font-semibold tracking-tight tabular-nums ${inks[tone]}`}>{value}</dd>
      {series === undefined ? null : (
        <dd className="mt-1">
          <Sparkline values={series} />
        </dd>
      )}
      <dd className="mt-1 min-h-4 truncate text-xs text-quiet">{note ?? ''}</dd>
    </div>
  )
}
