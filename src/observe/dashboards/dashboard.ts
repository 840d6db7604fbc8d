/**
 * A dashboard of Grafana (classic model) from its panels: places from left to right, the variables `datasource`, `job` and
 * `instance`, those of nodes, models and pools where a panel has such a label, links to the other dashboards, and marks where the configuration
 * was reloaded. The data source is a variable, so that the file can be provisioned as it is; `__inputs` work in the import dialogue only.
 */
import type { Panel } from './panel.ts'
import { narrowed, pick } from './promql.ts'

export interface DashboardHead {
  /** Fixed: links and bookmarks hold it. */
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly panels: readonly Panel[]
}

const columns = 24
const datasource = { type: 'prometheus', uid: '${datasource}' }

/** The JSON of a dashboard. */
export function renderDashboard({ uid, title, description, panels }: DashboardHead): object {
  return {
    uid,
    title,
    description,
    tags: ['corral'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    timezone: 'browser',
    templating: { list: [dataSourceVariable(), labelVariable('job', 'corral_build_info'), ...scopeVariables(panels)] },
    annotations: { list: [reloadMarks()] },
    links: [{ type: 'dashboards', title: 'Corral', tags: ['corral'], asDropdown: true, includeVars: true, keepTime: true }],
    panels: place(panels),
  }
}

/** Where the values of a variable are read. */
const sources = {
  instance: 'corral_build_info{job=~"$job"}',
  node: 'corral_node_up{job=~"$job"}',
  model: 'corral_requests_total{job=~"$job"}',
  pool: 'corral_queue_depth{job=~"$job"}',
} as const

function scopeVariables(panels: readonly Panel[]): object[] {
  const asked = panels.flatMap(({ queries }) => queries.map(({ expr }) => expr)).join(' ')
  const own = narrowed.filter((label) => asked.includes(`"$${label}"`))
  return (['instance', ...own] as const).map((label) => labelVariable(label, sources[label]))
}

function dataSourceVariable(): object {
  return { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', refresh: 1 }
}

function labelVariable(label: string, series: string): object {
  const query = { qryType: 1, query: `label_values(${series}, ${label})`, refId: label }
  return {
    name: label,
    type: 'query',
    datasource,
    query,
    definition: query.query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    // Not the values in the list: a model may be loaded that nobody has asked for.
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'] },
  }
}

function reloadMarks(): object {
  return {
    name: 'Configuration reloads',
    datasource,
    enable: true,
    iconColor: 'blue',
    expr: `changes(${pick('corral_config_last_reload_timestamp_seconds')}[$__rate_interval]) > 0`,
    titleFormat: 'configuration taken by {{instance}}',
    step: '60s',
  }
}

function place(panels: readonly Panel[]): object[] {
  let x = 0
  let y = 0
  let rowHeight = 0
  return panels.map((panel, index) => {
    const { width = panel.type === 'row' ? columns : 8, height = panel.type === 'row' ? 1 : 8 } = panel
    if (x + width > columns) {
      x = 0
      y += rowHeight
      rowHeight = 0
    }
    const gridPos = { x, y, w: width, h: height }
    x += width
    rowHeight = Math.max(rowHeight, height)
    return renderPanel(panel, { id: index + 1, gridPos })
  })
}

/** Lines of latencies that carry exemplars show them as points that lead to the trace. */
function showsTraces({ type, queries }: Panel): boolean {
  return type === 'timeseries' && queries.some(({ expr }) => withExemplars.test(expr))
}

const withExemplars = /corral_(node_)?(request_duration|time_to_first_token)_seconds_bucket/

function renderPanel(panel: Panel, where: { readonly id: number; readonly gridPos: object }): object {
  const { title, description, type, queries, unit, fieldDefaults, options, transformations } = panel
  if (type === 'row') return { ...where, title, type, collapsed: false, panels: [] }
  return {
    ...where,
    title,
    description,
    type,
    datasource,
    fieldConfig: { defaults: { ...(unit === undefined ? {} : { unit }), ...fieldDefaults }, overrides: [] },
    options,
    ...(transformations === undefined ? {} : { transformations }),
    targets: queries.map(({ expr, legend, instant = false }, index) => ({
      refId: 'ABCDEFGH'.charAt(index),
      datasource,
      expr,
      legendFormat: legend ?? '__auto',
      instant,
      range: !instant,
      exemplar: showsTraces(panel),
      format: type === 'heatmap' ? 'heatmap' : type === 'table' ? 'table' : 'time_series',
    })),
  }
}
