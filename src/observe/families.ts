/**
 * Counters, gauges and histograms as plain numbers. A caller resolves the child of a label set once and keeps it, so that
 * an update is an addition; the text of a scrape is made from the numbers when it is asked for (`exposition.ts`). A general
 * client library hashes the labels at each update, which is most of what a request's metrics would cost.
 *
 * Every family holds at most as many children as its label guards let through, and never more than `labelSetsMax`: what comes
 * after is counted under `other`.
 */

/** A child of a counter or gauge: add to `value`. */
export class Cell {
  value = 0
}

/** A child of a histogram. */
export class Distribution {
  readonly bounds: readonly number[]
  /** Observations per bucket, not cumulative; the last one is above every bound. */
  readonly counts: Float64Array
  sum = 0
  /** The latest example of each bucket; null until there was one. */
  exemplars: Exemplars | null = null

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** Adds one observation; anything but a finite number is ignored. */
  observe(value: number): void {
    if (Number.isFinite(value)) this.#add(value)
  }

  /** The same, and keeps its trace as the example of its bucket. `wallMs`: when it was. */
  observeTraced(value: number, traceId: string, wallMs: number): void {
    if (!Number.isFinite(value)) return
    const index = this.#add(value)
    this.exemplars ??= new Exemplars(this.counts.length)
    this.exemplars.keep(index, { traceId, value, wallMs })
  }

  /** The bucket that it went to. */
  #add(value: number): number {
    const { bounds, counts } = this
    let index = 0
    while (index < bounds.length && value > (bounds[index] ?? 0)) index += 1
    counts[index] = (counts[index] ?? 0) + 1
    this.sum += value
    return index
  }
}

/** One trace per bucket of a histogram, by which somebody who looks at a slow bucket finds a request that fell into it. */
export class Exemplars {
  readonly traceIds: (string | null)[]
  readonly values: Float64Array
  readonly wallMs: Float64Array

  constructor(buckets: number) {
    this.traceIds = Array.from({ length: buckets }, () => null)
    this.values = new Float64Array(buckets)
    this.wallMs = new Float64Array(buckets)
  }

  keep(index: number, { traceId, value, wallMs }: { readonly traceId: string; readonly value: number; readonly wallMs: number }): void {
    this.traceIds[index] = traceId
    this.values[index] = value
    this.wallMs[index] = wallMs
  }
}

/** Lets the first `valuesMax` values of a label pass; the rest is `other`. */
export class LabelGuard {
  readonly label: string
  readonly #valuesMax: () => number
  readonly #known = new Set<string>()
  /** Updates counted under `other` because the limit was reached. */
  overflows = 0

  constructor(label: string, valuesMax: () => number) {
    this.label = label
    this.#valuesMax = valuesMax
  }

  admit(value: string): string {
    if (this.#known.has(value)) return value
    if (this.#known.size >= this.#valuesMax()) {
      this.overflows += 1
      return 'other'
    }
    this.#known.add(value)
    return value
  }

  /** The values that passed. */
  get known(): ReadonlySet<string> {
    return this.#known
  }

  /** Gives the place of a value to another. */
  forget(value: string): void {
    this.#known.delete(value)
  }
}

/** Objects by up to two label values, found without building a key. */
export class CellCache<C> {
  readonly #outer = new Map<string, Map<string, C>>()
  readonly #create: (first: string, second: string) => C

  constructor(create: (first: string, second: string) => C) {
    this.#create = create
  }

  get(first: string, second: string): C {
    const known = this.find(first, second)
    if (known !== undefined) return known
    const made = this.#create(first, second)
    this.keep(first, second, made)
    return made
  }

  find(first: string, second: string): C | undefined {
    return this.#outer.get(first)?.get(second)
  }

  keep(first: string, second: string, cell: C): void {
    const inner = this.#outer.get(first) ?? new Map<string, C>()
    this.#outer.set(first, inner.set(second, cell))
  }

  clear(): void {
    this.#outer.clear()
  }
}

/** Labels whose values are named by configuration, nodes or clients; the values of all others are written in the source. */
const openLabels: ReadonlySet<string> = new Set(['model', 'node', 'pool'])
/** Label sets of one metric. */
export const labelSetsMax = 500
/** What stands for all that there is no place for. */
const other = 'other'

export type MetricType = 'counter' | 'gauge' | 'histogram'

interface Head {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly labels: readonly string[]
  /** Of a histogram. */
  readonly bounds?: readonly number[]
}

interface Child<C> {
  readonly cell: C
  readonly values: readonly string[]
}

/** One metric name with its children. */
export class Family<C extends Cell | Distribution = Cell | Distribution> {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly labels: readonly string[]
  readonly bounds: readonly number[]
  /** The labels that give way when there are too many label sets. */
  readonly open: readonly string[]
  /** Updates counted under `other` because there were too many label sets. */
  overflows = 0
  readonly #create: () => C
  readonly #cache = new CellCache<C>((first, second) => this.child(first, second))
  /** By rendered labels. */
  readonly #children = new Map<string, Child<C>>()

  constructor({ name, help, type, labels, bounds = [] }: Head, create: () => C) {
    this.name = name
    this.help = help
    this.type = type
    this.labels = labels
    this.bounds = bounds
    this.open = labels.filter((label) => openLabels.has(label))
    this.#create = create
  }

  /** The child of these label values, in the order of the label names; made when it is new. Not for the hot path. */
  child(...values: readonly string[]): C {
    const key = renderLabels(this.labels, values)
    const known = this.#children.get(key)
    if (known !== undefined) return known.cell
    if (this.#children.size >= labelSetsMax && this.open.length > 0) return this.#overflow(values)
    return this.#add(key, values)
  }

  #overflow(values: readonly string[]): C {
    this.overflows += 1
    const rest = values.map((value, index) => (openLabels.has(this.labels[index] ?? '') ? other : value))
    const key = renderLabels(this.labels, rest)
    return this.#children.get(key)?.cell ?? this.#add(key, rest)
  }

  #add(key: string, values: readonly string[]): C {
    const cell = this.#create()
    this.#children.set(key, { cell, values })
    return cell
  }

  /** Children by their rendered labels, as they are shown. */
  get children(): Iterable<readonly [labels: string, Child<C>]> {
    return this.#children
  }

  get size(): number {
    return this.#children.size
  }

  /** All children that are shown, with their label values. */
  *entries(): Generator<[C, readonly string[]]> {
    for (const { cell, values } of this.#children.values()) yield [cell, values]
  }

  /** The child of one or two label values, found fast once it exists. */
  at(first: string, second = ''): C {
    const known = this.#cache.find(first, second)
    if (known !== undefined) return known
    const before = this.overflows
    const cell = this.child(first, second)
    // What was counted under `other` is looked up anew each time: so each update of it is counted as one.
    if (this.overflows === before) this.#cache.keep(first, second, cell)
    return cell
  }

  /** Forgets all children: a gauge that is filled anew at each scrape starts here. */
  clear(): void {
    this.#children.clear()
    this.#cache.clear()
  }

  /** Forgets the children with this label value: what it names is gone. Cells handed out before are counted no more. */
  forget(label: string, value: string): void {
    const at = this.labels.indexOf(label)
    if (at < 0) return
    for (const [key, { values }] of this.#children) if (values[at] === value) this.#children.delete(key)
    this.#cache.clear()
  }
}

function renderLabels(names: readonly string[], values: readonly string[]): string {
  return names.map((name, index) => `${name}="${escapeLabel(values[index] ?? '')}"`).join(',')
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value
}

/** A counter; its name must end in `_total`. Without labels it shows 0 from the start, so that its first event is seen as a rise. */
export function counter(name: string, help: string, labels: readonly string[] = []): Family<Cell> {
  const family = new Family({ name, help, type: 'counter', labels }, () => new Cell())
  if (labels.length === 0) family.child()
  return family
}

/** A gauge. */
export function gauge(name: string, help: string, labels: readonly string[] = []): Family<Cell> {
  return new Family({ name, help, type: 'gauge', labels }, () => new Cell())
}

/** A histogram over ascending bucket bounds. */
export function histogram(
  name: string,
  help: string,
  { labels = [], bounds }: { readonly labels?: readonly string[]; readonly bounds: readonly number[] },
): Family<Distribution> {
  return new Family({ name, help, type: 'histogram', labels, bounds }, () => new Distribution(bounds))
}
