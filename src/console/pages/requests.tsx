/** What is under way now: where each request stands, how long still, and the way to stop it. */
import { useMutation } from '@tanstack/react-query'

import { change } from '../api/client.ts'
import { useLive } from '../api/live.ts'
import type { LiveRequest } from '../api/shapes.ts'
import { dash, formatCount, formatMs } from '../format.ts'
import { Choice } from '../parts/choice.tsx'
import { EmptyState, ErrorState, Loading } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { StateBadge, type Tone } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'
import { Link, setQuery, useLocation } from '../router.tsx'

const phases = ['queued', 'loading', 'waiting', 'streaming'] as const

export default function Requests() {
  const { state } = useLive()
  const { query } = useLocation()
  const cancel = useMutation({ mutationFn: (id: string) => change('DELETE', `/admin/requests/${encodeURIComponent(id)}`) })
  if (state === null) return <Loading what="requests" />
  const phase = query.get('phase') ?? ''
  const shown = state.requests.filter((request) => phase === '' || request.phase === phase)
  return (
    <Page
      title="Requests"
      lead="What is under way now. What has ended is in the history."
      actions={
        <Link to="history" className="button">
          History
        </Link>
      }
    >
      <PhaseFilter requests={state.requests} chosen={phase} />
      {cancel.error === null ? null : <ErrorState error={cancel.error} />}
      <Panel title="Under way" note={`${formatCount(shown.length)} shown of ${formatCount(state.requestsTotal)}`}>
        {shown.length === 0 ? <NothingShown phase={phase} /> : <Running requests={shown} onCancel={(id) => cancel.mutate(id)} />}
      </Panel>
    </Page>
  )
}

function NothingShown({ phase }: { readonly phase: string }) {
  return phase === '' ? (
    <EmptyState title="Nothing is under way">Send a request, and it appears here within a second.</EmptyState>
  ) : (
    <EmptyState title={`No request is ${phase}`} />
  )
}

function PhaseFilter({ requests, chosen }: { readonly requests: readonly LiveRequest[]; readonly chosen: string }) {
  const options = ['', ...phases].map((phase) => {
    const count = requests.filter((request) => phase === '' || request.phase === phase).length
    return { value: phase, text: `${phase === '' ? 'all' : phase} ${count}` }
  })
  return <Choice label="Phase" options={options} chosen={chosen} onChoose={(phase) => setQuery({ phase })} />
}

function toneOf(phase: string): Tone {
  if (phase === 'streaming') return 'ok'
  return phase === 'queued' || phase === 'loading' ? 'warn' : 'quiet'
}

function Running({ requests, onCancel }: { readonly requests: readonly LiveRequest[]; readonly onCancel: (id: string) => void }) {
  return (
    <Table
      label="Requests under way"
      rows={requests}
      rowKey={({ id }) => id}
      columns={[
        { name: 'Request', cell: (request) => <Which request={request} /> },
        { name: 'Phase', cell: ({ phase }) => <StateBadge tone={toneOf(phase)}>{phase}</StateBadge> },
        { name: 'Place', number: true, wideOnly: true, cell: ({ queuePosition }) => (queuePosition === 0 ? dash : `#${queuePosition}`) },
        { name: 'Starts in', number: true, cell: ({ etaMs, phase }) => (phase === 'streaming' || etaMs === null ? dash : formatMs(etaMs)) },
        { name: 'Age', number: true, cell: ({ ageMs }) => formatMs(ageMs) },
        { name: 'Frames', number: true, wideOnly: true, cell: ({ frames }) => formatCount(frames) },
        { name: 'Node', cell: ({ node, attempts }) => `${node ?? dash}${attempts > 1 ? ` (try ${attempts})` : ''}` },
        { name: 'Tenant', wideOnly: true, cell: ({ tenant, priority }) => (priority === 'batch' ? `${tenant}, batch` : tenant) },
        {
          name: 'Action',
          cell: ({ id }) => (
            <button type="button" className="button button-small" onClick={() => onCancel(id)} aria-label={`Cancel request ${id}`}>
              Cancel
            </button>
          ),
        },
      ]}
    />
  )
}

function Which({ request: { id, model, route } }: { readonly request: LiveRequest }) {
  return (
    <span title={id}>
      <span className="block max-w-56 truncate font-medium">{model ?? 'no model yet'}</span>
      <span className="block text-xs whitespace-nowrap text-quiet">{route}</span>
    </span>
  )
}
