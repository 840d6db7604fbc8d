/**
 * Counters, gauges and histograms as plain numbers. A caller resolves the child of a label set once and keeps it, so that
 * an update is an addition; the text of a scrape is made from the numbers when it is asked for. A general client library
 * hashes the labels at each update, which is most of what a request's metrics would cost.
 *
 * Every family holds at most as many children as its label guards let through.
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

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** Adds one observation; anything but a finite number is ignored. */
  observe(value: number): void {
    if (!Number.isFinite(value)) return
    const { bounds, counts } = this
    let index = 0
    while (index < bounds.length && value > (bounds[index] ?? 0)) index += 1
    counts[index] = (counts[index] ?? 0) + 1
    this.sum += value
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
}

/** Objects by up to two label values, found without building a key. */
export class CellCache<C> {
  readonly #outer = new Map<string, Map<string, C>>()
  readonly #create: (first: string, second: string) => C

  constructor(create: (first: string, second: string) => C) {
    this.#create = create
  }

  get(first: string, second: string): C {
    let inner = this.#outer.get(first)
    if (inner === undefined) {
      inner = new Map()
      this.#outer.set(first, inner)
    }
    let cell = inner.get(second)
    if (cell === undefined) {
      cell = this.#create(first, second)
      inner.set(second, cell)
    }
    return cell
  }

  clear(): void {
    this.#outer.clear()
  }
}

/** One metric name with its children. */
export class Family<C> {
  readonly #cache = new CellCache<C>((first, second) => this.child(first, second))
  readonly #children = new Map<string, C>()
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly #labels: readonly string[]
  readonly #create: () => C
  readonly #render: (name: string, labels: string, child: C) => string

  constructor(
    head: {
      readonly name: string
      readonly help: string
      readonly type: 'counter' | 'gauge' | 'histogram'
      readonly labels: readonly string[]
    },
    create: () => C,
    render: (name: string, labels: string, child: C) => string,
  ) {
    this.name = head.name
    this.help = head.help
    this.type = head.type
    this.#labels = head.labels
    this.#create = create
    this.#render = render
  }

  /** The child of these label values, in the order of the label names; made when it is new. Not for the hot path. */
  child(...values: readonly string[]): C {
    const key = renderLabels(this.#labels, values)
    let child = this.#children.get(key)
    if (child === undefined) {
      child = this.#create()
      this.#children.set(key, child)
    }
    return child
  }

  /** The child of one or two label values, found fast once it exists. */
  at(first: string, second = ''): C {
    return this.#cache.get(first, second)
  }

  /** Forgets all children: a gauge that is filled anew at each scrape starts here. */
  clear(): void {
    this.#children.clear()
    this.#cache.clear()
  }

  render(): string {
    let text = `# HELP ${this.name} ${this.help}\n# TYPE ${this.name} ${this.type}\n`
    for (const [labels, child] of this.#children) text += this.#render(this.name, labels, child)
    return text
  }
}

function renderLabels(names: readonly string[], values: readonly string[]): string {
  return names.map((name, index) => `${name}="${escapeLabel(values[index] ?? '')}"`).join(',')
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value
}

function renderCell(name: string, labels: string, cell: Cell): string {
  return labels === '' ? `${name} ${formatNumber(cell.value)}\n` : `${name}{${labels}} ${formatNumber(cell.value)}\n`
}

function renderDistribution(name: string, labels: string, { bounds, counts, sum }: Distribution): string {
  const prefix = labels === '' ? '' : `${labels},`
  const own = labels === '' ? '' : `{${labels}}`
  let text = ''
  let count = 0
  for (let index = 0; index < counts.length; index += 1) {
    count += counts[index] ?? 0
    const bound = bounds[index]
    text += `${name}_bucket{${prefix}le="${bound === undefined ? '+Inf' : bound}"} ${count}\n`
  }
  return `${text}${name}_sum${own} ${formatNumber(sum)}\n${name}_count${own} ${count}\n`
}

function formatNumber(value: number): string {
  if (value === Infinity) return '+Inf'
  return value === -Infinity ? '-Inf' : String(value)
}

/** A counter; its name must end in `_total`. */
export function counter(name: string, help: string, labels: readonly string[] = []): Family<Cell> {
  return new Family({ name, help, type: 'counter', labels }, () => new Cell(), renderCell)
}

/** A gauge. */
export function gauge(name: string, help: string, labels: readonly string[] = []): Family<Cell> {
  return new Family({ name, help, type: 'gauge', labels }, () => new Cell(), renderCell)
}

/** A histogram over ascending bucket bounds. */
export function histogram(
  name: string,
  help: string,
  { labels = [], bounds }: { readonly labels?: readonly string[]; readonly bounds: readonly number[] },
): Family<Distribution> {
  return new Family({ name, help, type: 'histogram', labels }, () => new Distribution(bounds), renderDistribution)
}
