/** A state in words, with a tone: colour never says it alone. */

export type Tone = 'ok' | 'warn' | 'bad' | 'quiet'

const tones: Readonly<Record<Tone, string>> = { ok: 'tone-ok', warn: 'tone-warn', bad: 'tone-bad', quiet: '' }

export function StateBadge({ tone, children }: { readonly tone: Tone; readonly children: string }) {
  return <span className={`badge ${tones[tone]}`}>{children}</span>
}
