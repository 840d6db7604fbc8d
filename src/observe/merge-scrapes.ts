/**
 * One scrape of what several processes counted. Counters and histograms are added; what becomes of a gauge `gauge-ways.ts` says. Processes
 * tell each other in OpenMetrics, which says all there is to say; whoever asks gets the format that it wants. Of two exemplars of a bucket the
 * later one stands.
 */
import { circuitStates } from './circuit-states.ts'
import { endMark, type Exposition, formatNumber } from './exposition.ts'
import { type GaugeWay, wayOf } from './gauge-ways.ts'

interface Family {
  readonly comments: string[]
  kind: string
  /** By series, in the order of their first sight. */
  readonly samples: Map<string, Sample>
}

/** A sample: its series with labels, its value, and its exemplar. */
const sample = /^([a-zA-Z_:][\w:]*)((?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?) (\S+)(?: # (.+))?/

interface Sample {
  readonly value: number
  /** As written: labels, value, time. */
  readonly exemplar: string | null
}

function familyOf(name: string, families: ReadonlyMap<string, Family>): string {
  if (families.has(name)) return name
  const base = name.replace(/_(bucket|sum|count|total|created)$/, '')
  return families.has(base) ? base : name
}

interface Reading {
  /** Whether what is a state, not a count, is left out. */
  readonly countsOnly: boolean
}

function read(text: string, families: Map<string, Family>, { countsOnly }: Reading): void {
  const seen = new Map<string, Map<string, Sample>>()
  for (const line of text.split('\n')) {
    const [, word = '', name = ''] = /^# (HELP|TYPE|UNIT) (\S+)/.exec(line) ?? []
    if (word !== '') {
      const family = families.get(name) ?? newFamily()
      families.set(name, family)
      if (!family.comments.includes(line)) family.comments.push(line)
      if (word === 'TYPE') family.kind = line.split(' ')[3] ?? 'untyped'
      continue
    }
    const [, series = '', labels = '', value = '', exemplar = null] = sample.exec(line) ?? []
    if (series === '') continue
    const owner = familyOf(series, families)
    const samples = seen.get(owner) ?? new Map<string, Sample>()
    seen.set(owner, samples.set(series + labels, { value: numberOf(value), exemplar }))
  }
  for (const [owner, samples] of seen) if (!countsOnly || families.get(owner)?.kind !== 'gauge') merge(families, owner, samples)
}

function newFamily(): Family {
  return { comments: [], kind: 'untyped', samples: new Map() }
}

function merge(families: Map<string, Family>, owner: string, samples: ReadonlyMap<string, Sample>): void {
  const family = families.get(owner) ?? newFamily()
  families.set(owner, family)
  const way = family.kind === 'gauge' ? wayOf(owner) : 'sum'
  for (const [series, own] of samples) {
    const before = family.samples.get(series)
    family.samples.set(series, before === undefined ? own : together(before, own, way))
  }
  if (way === 'worst') keepWorst(family.samples)
}

const valueOf: Readonly<Record<GaugeWay, (one: number, two: number) => number>> = {
  sum: (one, two) => one + two,
  max: Math.max,
  min: Math.min,
  // Any state that one of them is in, of which `keepWorst` leaves one.
  worst: Math.max,
}

/** One state is 1 for each of what the series tell of: the worst. The label `state` is the last one. */
function keepWorst(samples: Map<string, Sample>): void {
  const found = new Set<string>()
  for (const state of circuitStates.toReversed()) {
    for (const [series, { value, exemplar }] of samples) {
      const [head = '', named] = series.split(/(?<=[{,])state="(\w+)"\}$/)
      if (named !== state || value !== 1) continue
      if (found.has(head)) samples.set(series, { value: 0, exemplar })
      found.add(head)
    }
  }
}

function together(one: Sample, two: Sample, way: GaugeWay): Sample {
  const value = valueOf[way](one.value, two.value)
  return { value, exemplar: secondsOf(one.exemplar) > secondsOf(two.exemplar) ? one.exemplar : two.exemplar }
}

/** When an exemplar was: what it ends with. */
function secondsOf(exemplar: string | null): number {
  return exemplar === null ? -Infinity : Number(exemplar.slice(exemplar.lastIndexOf(' ') + 1))
}

function numberOf(text: string): number {
  if (text === '+Inf') return Infinity
  return text === '-Inf' ? -Infinity : Number(text)
}

/** Comments of OpenMetrics name a counter without its ending. */
function commentFor(exposition: Exposition, comment: string, kind: string): string {
  return exposition === 'text' && kind === 'counter' ? comment.replace(/^(# \w+ \S+?)(?:_total)?(?= )/, '$1_total') : comment
}

function lineOf(exposition: Exposition, series: string, { value, exemplar }: Sample): string {
  const shown = `${series} ${formatNumber(value)}`
  return exposition === 'text' || exemplar === null ? shown : `${shown} # ${exemplar}`
}

/**
 * The scrapes, all in OpenMetrics, as one without a series twice, in the format `exposition`. `gone`: of processes that have ended; only what
 * they counted is added, for a counter that fell would read as a restart of all.
 */
export function mergeScrapes(scrapes: readonly string[], gone: readonly string[] = [], exposition: Exposition = 'openmetrics'): string {
  const families = new Map<string, Family>()
  for (const scrape of scrapes) read(scrape, families, { countsOnly: false })
  for (const scrape of gone) read(scrape, families, { countsOnly: true })
  const lines = [...families.values()].flatMap(({ comments, kind, samples }) => [
    ...comments.map((comment) => commentFor(exposition, comment, kind)),
    ...[...samples].map(([series, own]) => lineOf(exposition, series, own)),
  ])
  return `${lines.join('\n')}\n${exposition === 'text' ? '' : endMark}`
}
