/** What is wrong with a configuration, and where. A load collects all of them. */
import { originText, type Origin } from './assignment.ts'

export interface Problem {
  /** One sentence that names the key and what is expected. */
  readonly message: string
  /** `corral.yaml:3:5`, `env CORRAL_NODES`, `flag --port`; empty when the problem has no place. */
  readonly where: string
}

export function problemAt(origin: Origin, message: string): Problem {
  return { message, where: origin.kind === 'default' ? '' : originText(origin) }
}

/** A problem as one line. */
export function problemText({ message, where }: Problem): string {
  return where === '' ? message : `${where}: ${message}`
}

/** Edits (insert, delete, replace, swap of neighbours) between two words. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      let best = Math.min(replaced, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] ?? 0) + 1)
      current.push(best)
    }
    before = previous
    previous = current
  }
  return previous[b.length] ?? 0
}

/** Words compare without case, `_` and `-`. */
export function plainWord(word: string): string {
  return word.toLowerCase().replace(/[_-]/g, '')
}

/** The candidate that was most likely meant; null when none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  const wanted = plainWord(word)
  const allowed = wanted.length <= 4 ? 1 : wanted.length <= 8 ? 2 : 3
  let best: string | null = null
  let bestDistance = allowed + 1
  for (const candidate of candidates) {
    const plain = plainWord(candidate)
    const isStem = wanted.length >= 3 && (plain.startsWith(wanted) || wanted.startsWith(plain))
    const distance = isStem ? Math.min(editDistance(wanted, plain), allowed) : editDistance(wanted, plain)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}
