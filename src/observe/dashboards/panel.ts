/**
 * Panels as Grafana's classic dashboards hold them. A panel is made of what it asks and how it is shown; its place and number
 * come from the dashboard that holds it. Each has a description: what it tells, and what a bad value means.
 */

export interface Query {
  readonly expr: string
  readonly legend?: string
  /** The present value instead of a line. */
  readonly instant?: boolean
}

export interface PanelHead {
  readonly title: string
  readonly description: string
  readonly queries: readonly Query[]
  /** Unit in Grafana's words, e.g. `s`, `bytes`, `percentunit`. */
  readonly unit?: string
  /** Of 24 columns. */
  readonly width?: number
  readonly height?: number
}

export interface Panel extends PanelHead {
  readonly type: 'timeseries' | 'stat' | 'heatmap' | 'table' | 'state-timeline' | 'row'
  readonly fieldDefaults: Readonly<Record<string, unknown>>
  readonly options: Readonly<Record<string, unknown>>
  readonly transformations?: readonly unknown[]
}

/** A value from which on the colour changes. */
export type Step = readonly [color: string, from: number]

const legend = { displayMode: 'table', placement: 'bottom', calcs: ['lastNotNull', 'max'] }

/** Lines over time. */
export function lines(head: PanelHead, { min = 0, max }: { readonly min?: number; readonly max?: number } = {}): Panel {
  const custom = { drawStyle: 'line', lineWidth: 1, fillOpacity: 8, showPoints: 'never' }
  return {
    ...head,
    type: 'timeseries',
    fieldDefaults: { custom, min, ...(max === undefined ? {} : { max }) },
    options: { legend, tooltip: { mode: 'multi', sort: 'desc' } },
  }
}

/** Areas on top of one another: parts of a whole over time. */
export function stack(head: PanelHead): Panel {
  const custom = { drawStyle: 'line', lineWidth: 0, fillOpacity: 60, showPoints: 'never', stacking: { mode: 'normal', group: 'A' } }
  return { ...head, type: 'timeseries', fieldDefaults: { custom, min: 0 }, options: { legend, tooltip: { mode: 'multi', sort: 'desc' } } }
}

/** One figure that carries its state as a colour. */
export function figure(head: PanelHead, steps: readonly Step[] = []): Panel {
  const thresholds = {
    mode: 'absolute',
    steps: [{ color: 'text', value: null }, ...steps.map(([color, value]) => ({ color, value }))],
  }
  return {
    width: 4,
    height: 4,
    ...head,
    type: 'stat',
    fieldDefaults: { thresholds, color: { mode: 'thresholds' } },
    options: { colorMode: steps.length === 0 ? 'none' : 'value', graphMode: 'area', reduceOptions: { calcs: ['lastNotNull'] } },
  }
}

/** How values spread over buckets, over time. */
export function heatmap(head: PanelHead): Panel {
  const { unit = 'short' } = head
  return {
    ...head,
    type: 'heatmap',
    fieldDefaults: {},
    options: {
      calculate: false,
      color: { mode: 'scheme', scheme: 'Blues', steps: 64 },
      yAxis: { unit },
      cellGap: 1,
      tooltip: { mode: 'single', yHistogram: true },
    },
  }
}

/** Rows of the present values. */
export function table(head: PanelHead): Panel {
  return {
    ...head,
    queries: head.queries.map((query) => ({ ...query, instant: true })),
    type: 'table',
    fieldDefaults: {},
    options: { showHeader: true, sortBy: [{ displayName: 'Value', desc: true }] },
    transformations: [{ id: 'organize', options: { excludeByName: { Time: true } } }],
  }
}

/** States over time, one band per series; `states` names the values. */
export function bands(head: PanelHead, states: Readonly<Record<string, { readonly text: string; readonly color: string }>>): Panel {
  return {
    ...head,
    type: 'state-timeline',
    fieldDefaults: { mappings: [{ type: 'value', options: states }], custom: { fillOpacity: 70, lineWidth: 0 } },
    options: { mergeValues: true, showValue: 'never', rowHeight: 0.8, legend: { displayMode: 'list', placement: 'bottom' } },
  }
}

/** A heading over the panels that follow. */
export function row(title: string): Panel {
  return { title, description: '', queries: [], type: 'row', fieldDefaults: {}, options: {} }
}
