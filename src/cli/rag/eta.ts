/** When something is done, from how fast it went of late. */

const windowMs = 20_000
const certainAfterMs = 1_500

/** Of a share that goes from 0 to 1. */
export class Eta {
  readonly #seen: { readonly atMs: number; readonly share: number }[] = []

  /** Takes in the share of now. Gives the milliseconds that are left; null while nobody can say. */
  add(atMs: number, share: number): number | null {
    this.#seen.push({ atMs, share })
    while ((this.#seen[1]?.atMs ?? Infinity) < atMs - windowMs) this.#seen.shift()
    const [first] = this.#seen
    if (first === undefined || atMs - first.atMs < certainAfterMs || share <= first.share) return null
    return ((1 - share) * (atMs - first.atMs)) / (share - first.share)
  }
}

/** `8 s`, `2 min 5 s`, `1 h 12 min`. */
export function timeText(durationMs: number): string {
  const seconds = Math.max(1, Math.round(durationMs / 1_000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}
