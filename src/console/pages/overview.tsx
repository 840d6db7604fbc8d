/** How the gateway does now, and how it came to that: six figures with the last quarter of an hour, the nodes, the queues. */
import { useLive } from '../api/live.ts'
import type { LiveState, OverviewNow, OverviewPoint } from '../api/shapes.ts'
import { dash, formatCount, formatMs, formatRate, formatShare } from '../format.ts'
import { Loading } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { Stat } from '../parts/stat.tsx'
import { StateBadge, type Tone } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'
import { Link } from '../router.tsx'
import { FirstRun } from './first-run.tsx'
import { judgeNode } from './node-state.ts'

export function Overview() {
  const { state, points } = useLive()
  if (state === null) return <Loading what="the fleet" />
  if (state.fleet.nodes.every(({ up, lastSeenAgoMs }) => up !== true && lastSeenAgoMs === null)) return <FirstRun state={state} />
  return (
    <Page title="Overview" lead={<Verdict state={state} />}>
      <Figures now={state.overview} points={points} />
      <div className="grid items-start gap-4 xl:grid-cols-[2fr_1fr]">
        <Nodes state={state} />
        <Queues state={state} />
      </div>
    </Page>
  )
}

/** One sentence that says whether anything needs a person. */
function Verdict({ state: { fleet, overview } }: { readonly state: LiveState }) {
  const up = fleet.nodes.filter(({ up: isUp }) => isUp === true).length
  const all = fleet.nodes.length
  const troubles = [
    up < all ? `${all - up} of ${all} nodes down` : '',
    fleet.nodes.some(({ breaker }) => breaker === 'open') ? 'a node is ejected' : '',
    overview.queued > 0 ? `${formatCount(overview.queued)} ${overview.queued === 1 ? 'request waits' : 'requests wait'}` : '',
    (overview.errorShare ?? 0) > 0.01 ? `${formatShare(overview.errorShare)} of requests fail` : '',
    fleet.drift.length > 0 ? `${fleet.drift.length} ${fleet.drift.length === 1 ? 'model differs' : 'models differ'} between nodes` : '',
  ].filter((text) => text !== '')
  return (
    <>
      {troubles.length === 0
        ? all === 1
          ? 'The node is up and nothing waits.'
          : `All ${all} nodes are up and nothing waits.`
        : `${troubles.join(' · ')}.`}
    </>
  )
}

function errorTone(share: number | null): Tone {
  if (share === null || share <= 0.001) return 'quiet'
  return share > 0.01 ? 'bad' : 'warn'
}

/** Failures that may still be, of 0.1 % of all requests since the start. */
function budgetNote({ budgetLeft }: OverviewNow): string {
  if (budgetLeft === null) return "not the client's fault"
  return budgetLeft < 0 ? 'error budget used up' : `${formatShare(budgetLeft)} of the budget left`
}

interface Figure {
  readonly label: string
  readonly pick: (point: OverviewPoint) => number | null
  readonly format: (value: number) => string
  readonly note: (now: OverviewNow) => string
  readonly tone?: (value: number | null) => Tone
}

const figures: readonly Figure[] = [
  {
    label: 'Requests per second',
    pick: ({ requestsPerSecond }) => requestsPerSecond,
    format: formatRate,
    note: ({ inFlight }) => `${formatCount(inFlight)} under way`,
  },
  { label: 'Failed', pick: ({ errorShare }) => errorShare, format: formatShare, note: budgetNote, tone: errorTone },
  { label: 'First token, median', pick: ({ ttftP50Ms }) => ttftP50Ms, format: formatMs, note: () => 'over 15 minutes' },
  { label: 'First token, slowest 5 %', pick: ({ ttftP95Ms }) => ttftP95Ms, format: formatMs, note: () => 'over 15 minutes' },
  { label: 'Tokens per second', pick: ({ tokensPerSecond }) => tokensPerSecond, format: formatRate, note: () => 'output of all nodes' },
  {
    label: 'Waiting in queues',
    pick: ({ queued }) => queued,
    format: formatCount,
    note: () => 'all models',
    tone: (queued) => ((queued ?? 0) > 0 ? 'warn' : 'quiet'),
  },
]

function Figures({ now, points }: { readonly now: OverviewNow; readonly points: readonly OverviewPoint[] }) {
  return (
    <dl className="grid grid-cols-2 gap-3 md:grid-cols-3 2xl:grid-cols-6" aria-label="Last 15 minutes">
      {figures.map(({ label, pick, format, note, tone }) => {
        const value = pick(now)
        return (
          <Stat
            key={label}
            label={label}
            value={value === null ? dash : format(value)}
            note={note(now)}
            series={points.map(pick)}
            {...(tone === undefined ? {} : { tone: tone(value) })}
          />
        )
      })}
    </dl>
  )
}

function Nodes({ state: { fleet, nodeRates } }: { readonly state: LiveState }) {
  const rates = new Map(nodeRates.map((rate) => [rate.node, rate]))
  return (
    <Panel
      title="Nodes"
      actions={
        <Link to="fleet" className="link text-sm">
          Fleet
        </Link>
      }
    >
      <Table
        label="Nodes"
        rows={fleet.nodes}
        rowKey={({ name }) => name}
        columns={[
          {
            name: 'Node',
            cell: ({ name }) => (
              <Link to={`fleet/${encodeURIComponent(name)}`} className="link whitespace-nowrap">
                {name}
              </Link>
            ),
          },
          {
            name: 'State',
            cell: (node) => {
              const { tone, text } = judgeNode(node)
              return <StateBadge tone={tone}>{text}</StateBadge>
            },
          },
          { name: 'Under way', number: true, cell: ({ inFlight }) => inFlight },
          { name: 'Requests/s', number: true, cell: ({ name }) => formatRate(rates.get(name)?.requestsPerSecond ?? 0) },
          { name: 'Failed', number: true, cell: ({ name }) => formatShare(rates.get(name)?.errorShare ?? null) },
          { name: 'First token p95', number: true, cell: ({ name }) => formatMs(rates.get(name)?.ttftP95Ms ?? null) },
          { name: 'Loaded', wideOnly: true, cell: ({ loaded }) => loaded.map(({ model }) => model).join(', ') },
        ]}
      />
    </Panel>
  )
}

function Queues({ state: { fleet } }: { readonly state: LiveState }) {
  const busy = fleet.pools.filter(({ queued, slots }) => queued > 0 || slots !== null).toSorted((a, b) => b.queued - a.queued)
  return (
    <Panel title="Queues by model">
      {busy.length === 0 ? (
        <p className="px-4 py-3 text-quiet">No model has been asked for yet.</p>
      ) : (
        <Table
          label="Queues by model"
          rows={busy.slice(0, 12)}
          rowKey={({ model }) => model}
          columns={[
            { name: 'Model', cell: ({ model }) => model },
            { name: 'Waiting', number: true, cell: ({ queued, queueMax }) => `${queued} of ${queueMax}` },
            { name: 'Slots', number: true, cell: ({ slots }) => slots ?? 'no limit' },
            { name: 'Wait now', number: true, cell: ({ queued, etaMs }) => (queued === 0 ? 'none' : formatMs(etaMs)) },
          ]}
        />
      )}
    </Panel>
  )
}
