/** Pieces of text as a PDF places them, joined to segments: what stands on one line without a wide gap. */

export interface TextRun {
  readonly text: string
  /** Of the begin of the baseline, in points from the left and the top. */
  readonly x: number
  readonly y: number
  readonly width: number
  readonly size: number
  readonly isUpright: boolean
  readonly isRtl: boolean
  /** The page's own name of it: equal names are equal fonts, nothing more is known. */
  readonly font: string
}

export interface Segment {
  readonly text: string
  readonly left: number
  readonly right: number
  readonly baseline: number
  readonly size: number
  readonly isRtl: boolean
  /** Of most of its text. */
  readonly font: string
}

/** In sizes of the text. */
const wordGap = 0.17
const segmentGap = 1
const overlapMax = 0.5
const sameLine = 0.3
const superscriptRise = 0.65
const runsLookedAt = 4
/** Where TeX's fonts keep their ligatures (encoding OT1), when a file does not say what they mean. */
const texLigatures: Readonly<Record<string, string>> = {
  '\u000b': 'ff',
  '\u000c': 'fi',
  '\r': 'fl',
  '\u000e': 'ffi',
  '\u000f': 'ffl',
  '↵': 'ff',
}
const unreadableShareMax = 0.3
const rtlLetter = /[\p{Script=Arabic}\p{Script=Hebrew}]/u
const unreadable = /[\ufffd\ue000-\uf8ff\p{Cc}]|[\u{f0000}-\u{10ffff}]/gu

/** Upright runs with text; null when most of the text has no meaning, because its font does not say which characters it draws. */
export function readableRuns(runs: readonly TextRun[]): readonly TextRun[] | null {
  const upright = runs.filter(({ isUpright }) => isUpright)
  const text = upright
    .map((run) => run.text)
    .join('')
    .replace(/\s/gu, '')
  const lost = text.match(unreadable)?.length ?? 0
  return lost > 20 && lost > text.length * unreadableShareMax ? null : upright
}

/** Segments in the order of the page's own drawing. */
export function segmentsOf(runs: readonly TextRun[]): Segment[] {
  const segments: Segment[] = []
  let open: TextRun[] = []
  for (const run of runs) {
    if (run.text.trim() === '' && open.length === 0) continue
    if (open.length > 0 && !continues(open, run)) {
      closeSegment(segments, open)
      open = []
    }
    if (run.text.trim() !== '' || open.length > 0) open.push(run)
  }
  closeSegment(segments, open)
  return segments
}

function continues(open: readonly TextRun[], run: TextRun): boolean {
  // A blank run may be as wide as the gap between two columns: only what is seen tells where a line ends.
  if (run.text.trim() === '') return true
  const seen = open.slice(-runsLookedAt).filter(({ text }) => text.trim() !== '')
  const last = seen.at(-1)
  if (last === undefined) return false
  const size = Math.max(run.size, last.size)
  const rise = Math.abs(run.y - last.y)
  const isSuperscript = Math.min(run.size, last.size) < size * 0.85 && rise < size * superscriptRise
  if (rise > size * sameLine && !isSuperscript) return false
  const left = Math.min(...seen.map(({ x }) => x))
  const right = Math.max(...seen.map(({ x, width }) => x + width))
  const isAfter = run.x >= left ? run.x - right : left - (run.x + run.width)
  return isAfter <= size * segmentGap && isAfter >= -size * overlapMax
}

function closeSegment(segments: Segment[], runs: readonly TextRun[]): void {
  const shown = runs.filter(({ text }) => text.trim() !== '')
  const main = shown.toSorted((one, other) => other.size * other.text.length - one.size * one.text.length)[0]
  if (main === undefined) return
  const isRtl = shown.reduce((sum, run) => sum + (run.isRtl ? run.text.length : -run.text.length * 0.5), 0) > 0
  segments.push({
    text: joinRuns(runs, isRtl),
    left: Math.min(...shown.map(({ x }) => x)),
    right: Math.max(...shown.map(({ x, width }) => x + width)),
    baseline: main.y,
    size: main.size,
    isRtl,
    font: main.font,
  })
}

/** Text of runs on one line in the order it is read, with a space for every gap. */
function joinRuns(runs: readonly TextRun[], isRtl: boolean): string {
  let text = ''
  let before: TextRun | null = null
  for (const run of isRtl ? rightToLeft(runs) : runs) {
    const needsSpace = before !== null && (isApart(before, run) || changesScript(text, run.text))
    if (needsSpace && !/\s$/u.test(text) && !/^\s/u.test(run.text)) text += ' '
    text += run.text
    before = run
  }
  return normalForms(text).replace(/\s+/gu, ' ').trim()
}

/** Between a word that runs from left to right and one that runs from right to left, PDFs often leave the space out. */
function changesScript(before: string, after: string): boolean {
  const isRtlBefore = rtlLetter.test(before.slice(-1))
  return isRtlBefore === rtlLetter.test(after.slice(0, 1)) ? false : /\p{L}$/u.test(before) && /^\p{L}/u.test(after)
}

function isApart(one: TextRun, other: TextRun): boolean {
  const gap = Math.max(other.x - (one.x + one.width), one.x - (other.x + other.width))
  return gap > wordGap * Math.min(one.size, other.size)
}

/** From right to left, but neighbours that run from left to right keep their own order. */
function rightToLeft(runs: readonly TextRun[]): TextRun[] {
  const sorted = runs.toSorted((one, other) => other.x - one.x)
  const ordered: TextRun[] = []
  let latin: TextRun[] = []
  for (const run of sorted) {
    const isLatin = !run.isRtl && /[\p{L}\p{N}]/u.test(run.text)
    if (isLatin || (latin.length > 0 && run.text.trim() === '')) {
      latin.unshift(run)
      continue
    }
    ordered.push(...latin, run)
    latin = []
  }
  return [...ordered, ...latin]
}

/**
 * Ligatures and presentation forms as the letters they stand for; other compatibility characters stay. An alef with hamza before a lam after
 * another alef is a lam-alef ligature that was reversed with its line: no word is spelled so.
 */
function normalForms(text: string): string {
  // eslint-disable-next-line no-control-regex
  const spelled = text.replace(/(?<=\p{L})[\u000b-\u000f↵](?=[\p{L}-])/gu, (sign) => texLigatures[sign] ?? sign)
  const plain = spelled.replace(/[\ufb00-\ufdff\ufe70-\ufefc\u2000-\u200a\u00a0\u202f\u2126\u2f00-\u2fdf\uf900-\ufaff]+/gu, (part) =>
    part.normalize('NFKC'),
  )
  return plain.replace(/\u0627([\u0622\u0623\u0625])\u0644/gu, '\u0627\u0644$1').replace(/^[\uf020-\uf0ff](?=\s)/u, '•')
}
