/** Who used how much: sums by whatever is asked for, over the days chosen, as a table and as CSV. */
import { useQuery } from '@tanstack/react-query'

import { getJson } from '../api/client.ts'
import { atGateway } from '../api/place.ts'
import type { UsageSum } from '../api/shapes.ts'
import { dash, formatCount, formatShare } from '../format.ts'
import { Select } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { setQuery, useLocation } from '../router.tsx'

const groups = [
  { value: 'model', text: 'model' },
  { value: 'subject', text: 'key' },
  { value: 'tenant', text: 'tenant' },
  { value: 'day', text: 'day' },
  { value: 'node', text: 'node' },
  { value: 'day,model', text: 'day and model' },
  { value: 'subject,model', text: 'key and model' },
]
const columnNames: Readonly<Record<string, string>> = { model: 'Model', subject: 'Key', tenant: 'Tenant', day: 'Day', node: 'Node' }
const spans = [
  { value: '1', text: 'last 24 hours' },
  { value: '7', text: 'last 7 days' },
  { value: '30', text: 'last 30 days' },
  { value: '365', text: 'last year' },
]
const dayMs = 86_400_000
const minuteMs = 60_000
const rowsShown = 500

export default function Usage() {
  const { query } = useLocation()
  const by = query.get('by') ?? 'model'
  const days = spans.find(({ value }) => value === query.get('days'))?.value ?? '7'
  // To the minute, so that the same view has the same address of the API.
  const from = new Date(Math.floor((Date.now() - Number(days) * dayMs) / minuteMs) * minuteMs).toISOString()
  const asked = new URLSearchParams({ by, from })
  const read = useQuery({
    queryKey: ['usage', by, days],
    queryFn: ({ signal }) => getJson<{ readonly usage: readonly UsageSum[] }>(`/admin/usage?${asked.toString()}`, signal),
  })
  return (
    <Page
      title="Usage"
      lead="Every request that ended is counted once, with the tokens and GPU time its node reported."
      actions={
        <a className="button" href={atGateway(`/admin/usage?${asked.toString()}&format=csv`)} download="usage.csv">
          CSV
        </a>
      }
    >
      <div className="grid max-w-md grid-cols-2 gap-3">
        <Select label="Sums by" options={groups} value={by} onChange={({ target }) => setQuery({ by: target.value })} />
        <Select label="Time" options={spans} value={days} onChange={({ target }) => setQuery({ days: target.value })} />
      </div>
      <Loaded read={read} what="usage">
        {({ usage }) => <Sums usage={usage} by={by.split(',')} />}
      </Loaded>
    </Page>
  )
}

function Sums({ usage, by }: { readonly usage: readonly UsageSum[]; readonly by: readonly string[] }) {
  const total = usage.reduce((sum, { gpuSeconds }) => sum + gpuSeconds, 0)
  const isByDay = by[0] === 'day'
  const rows = isByDay ? usage : usage.toSorted((a, b) => b.gpuSeconds - a.gpuSeconds || b.requests - a.requests)
  const columns: Column<UsageSum>[] = [
    ...by.map((name) => ({ name: columnNames[name] ?? name, cell: ({ group }: UsageSum) => group[name] ?? dash })),
    { name: 'Requests', number: true, cell: ({ requests }) => formatCount(requests) },
    {
      name: 'From cache',
      number: true,
      cell: ({ requests, cachedRequests }) => formatShare(requests === 0 ? null : cachedRequests / requests),
    },
    { name: 'Prompt tokens', number: true, cell: ({ promptTokens }) => formatCount(promptTokens) },
    { name: 'Output tokens', number: true, cell: ({ outputTokens }) => formatCount(outputTokens) },
    { name: 'GPU seconds', number: true, cell: ({ gpuSeconds }) => gpuSeconds.toFixed(1) },
    { name: 'Share', wideOnly: true, cell: ({ gpuSeconds }) => <Bar share={total === 0 ? 0 : gpuSeconds / total} /> },
  ]
  if (usage.length === 0) {
    return (
      <div className="panel">
        <EmptyState title="Nothing was used in this time">Choose a longer time, or send a request.</EmptyState>
      </div>
    )
  }
  return (
    <Panel
      title="Sums"
      note={usage.length > rowsShown ? `the first ${rowsShown} of ${usage.length}; all are in the CSV` : `${usage.length}`}
    >
      <Table label="Sums" rows={rows.slice(0, rowsShown)} rowKey={({ group }) => JSON.stringify(group)} columns={columns} />
    </Panel>
  )
}

function Bar({ share }: { readonly share: number }) {
  return (
    <span className="my-1.5 block h-2 w-24 rounded-sm bg-raised" aria-hidden="true">
      <span className="block h-2 rounded-sm bg-quiet" style={{ width: `${share * 100}%` }} />
    </span>
  )
}
