/** What has ended, newest first, by filters that stand in the address; more of it is read as one scrolls. And one request by itself. */
import { useInfiniteQuery } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { type FormEvent, memo, useEffect, useMemo, useRef } from 'react'

import type { HistoryEntry, HistoryPage } from '../../core/request-history.ts'
import { getJson } from '../api/client.ts'
import { atGateway } from '../api/place.ts'
import { dash, formatClock, formatCount, formatDateTime, formatMs } from '../format.ts'
import { Field, Select, textOf } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Link, nameIn, setQuery, useLocation } from '../router.tsx'
import { OneRequest } from './one-request.tsx'
import { outcomeTone } from './outcome-tone.ts'

const pageRows = 200
const rowPixels = 40
/** Rows beyond either edge: what a scroll shows before its frame is made. */
const overscan = 4
const filterNames = ['model', 'outcome', 'status', 'subject'] as const
const outcomes = ['ok', 'client_gone', 'truncated', 'node_error', 'client_error', 'rejected', 'internal']
const outcomeOptions = [{ value: '', text: 'any' }, ...outcomes.map((value) => ({ value, text: value.replace('_', ' ') }))]

export default function History() {
  const { path } = useLocation()
  const id = nameIn(path)
  return id === '' ? <HistoryList /> : <OneRequest id={id} />
}

function HistoryList() {
  const { query } = useLocation()
  const filters = new URLSearchParams(filterNames.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? '']] : [])))
  const read = useInfiniteQuery({
    queryKey: ['history', filters.toString()],
    initialPageParam: '',
    queryFn: ({ pageParam, signal }) => {
      const before: Record<string, string> = pageParam === '' ? {} : { before: pageParam }
      const asked = new URLSearchParams({ ...Object.fromEntries(filters), limit: String(pageRows), ...before })
      return getJson<HistoryPage>(`/admin/requests/history?${asked.toString()}`, signal)
    },
    getNextPageParam: ({ next }) => next,
    // What has ended does not change: to compare all rows with themselves after every page would take longer than to show them.
    structuralSharing: false,
  })
  // Asked for again, a page under way would be begun anew; one that failed waits for a person.
  const canReadMore = read.hasNextPage && !read.isFetching && !read.isFetchNextPageError
  const rows = useMemo(() => read.data?.pages.flatMap(({ requests }) => requests) ?? [], [read.data])
  return (
    <Page
      title="History"
      lead="Requests that have ended."
      actions={
        <>
          <a className="button" href={atGateway(`/admin/requests/history?${withFormat(filters)}`)} download="requests.csv">
            CSV
          </a>
          <button type="button" className="button" onClick={() => void read.refetch()}>
            Refresh
          </button>
        </>
      }
    >
      <Filters key={filters.toString()} query={query} />
      <Loaded read={read} what="the history">
        {() => (
          <Panel title="Requests" note={`${formatCount(rows.length)}${read.hasNextPage ? ' so far' : ''}`}>
            {rows.length === 0 ? (
              <EmptyState title="No request matches">
                {filters.size === 0 ? 'Send one: it is here as soon as it has ended.' : 'Widen the filters above.'}
              </EmptyState>
            ) : (
              <Rows rows={rows} canReadMore={canReadMore} onMore={() => void read.fetchNextPage()} />
            )}
          </Panel>
        )}
      </Loaded>
    </Page>
  )
}

function withFormat(filters: URLSearchParams): string {
  return new URLSearchParams({ ...Object.fromEntries(filters), format: 'csv' }).toString()
}

function Filters({ query }: { readonly query: URLSearchParams }) {
  const apply = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    setQuery(Object.fromEntries(filterNames.map((name) => [name, textOf(form, name)])))
  }
  return (
    <form className="grid grid-cols-2 items-end gap-3 md:grid-cols-5" onSubmit={apply} aria-label="Filters">
      <Field label="Model" name="model" defaultValue={query.get('model') ?? ''} />
      <Select label="Outcome" name="outcome" options={outcomeOptions} defaultValue={query.get('outcome') ?? ''} />
      <Field label="Status (404, 5xx)" name="status" pattern="[1-5]([0-9]{2}|xx)" defaultValue={query.get('status') ?? ''} />
      <Field label="Key id" name="subject" defaultValue={query.get('subject') ?? ''} />
      <button type="submit" className="button justify-self-start">
        Filter
      </button>
    </form>
  )
}

interface RowsProps {
  readonly rows: readonly HistoryEntry[]
  readonly canReadMore: boolean
  readonly onMore: () => void
}

const cells =
  'grid grid-cols-[5.25rem_minmax(4rem,1fr)_5rem_3.25rem] gap-2 px-4 md:gap-3 md:grid-cols-[6rem_minmax(9rem,1.2fr)_9rem_minmax(8rem,1fr)_6rem_6rem_6rem_6rem]'
const wide = 'hidden md:block'

/**
 * Only the rows in sight are in the page, however many there are. A row that leaves gives its elements to one that comes: to fill them anew
 * costs the browser a third less than to make others.
 */
function Rows({ rows, canReadMore, onMore }: RowsProps) {
  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPixels,
    overscan,
  })
  const items = virtual.getVirtualItems()
  // At least as many as there are ever rows at once: each has a slot of its own.
  const slots = Math.ceil((virtual.scrollRect?.height ?? 0) / rowPixels) + 1 + 2 * overscan
  const last = items.at(-1)?.index ?? 0
  useEffect(() => {
    if (canReadMore && last >= rows.length - 20) onMore()
  }, [canReadMore, last, rows.length, onMore])
  return (
    <div
      ref={scroller}
      role="table"
      aria-label="Requests"
      aria-rowcount={rows.length + 1}
      tabIndex={0}
      className="max-h-[70vh] min-h-40 overflow-auto"
    >
      <div role="row" aria-rowindex={1} className={`${cells} sticky top-0 z-1 border-b border-line bg-panel py-1.5 text-xs text-quiet`}>
        {['Ended', 'Model', 'Outcome'].map((name) => (
          <span key={name} role="columnheader">
            {name}
          </span>
        ))}
        {['Node', 'First token', 'Duration', 'Tokens'].map((name) => (
          <span key={name} role="columnheader" className={`${wide} ${name === 'Node' ? '' : 'text-right'}`}>
            {name}
          </span>
        ))}
        <span role="columnheader">Request</span>
      </div>
      <div role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
        {items.map(({ index, start }) => {
          const row = rows[index]
          return row === undefined ? null : <Row key={index % slots} row={row} index={index} top={start} />
        })}
      </div>
    </div>
  )
}

/** Filled once for as long as it is in sight. What is in it moves nothing outside (`contain`): the browser lays out this row alone. */
const Row = memo(function Row({ row, index, top }: { readonly row: HistoryEntry; readonly index: number; readonly top: number }) {
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      className={`${cells} absolute inset-x-0 contain-strict items-center border-b border-line/60 text-sm hover:bg-raised/50`}
      style={{ height: rowPixels, top }}
    >
      <time role="cell" dateTime={row.at} title={formatDateTime(row.at)} className="tabular-nums">
        {formatClock(row.at)}
      </time>
      <span role="cell" className="truncate">
        {row.model ?? row.route}
      </span>
      <span role="cell" className="overflow-hidden whitespace-nowrap">
        <StateBadge tone={outcomeTone(row)}>
          {row.outcome === 'ok' ? 'ok' : `${row.status} ${row.error ?? row.outcome}`.slice(0, 22)}
        </StateBadge>
      </span>
      <span role="cell" className={`${wide} truncate`}>
        {row.node ?? (row.cache === null ? dash : `cache: ${row.cache}`)}
      </span>
      <span role="cell" className={`${wide} text-right tabular-nums`}>
        {formatMs(row.ttftMs)}
      </span>
      <span role="cell" className={`${wide} text-right tabular-nums`}>
        {formatMs(row.durationMs)}
      </span>
      <span role="cell" className={`${wide} text-right tabular-nums`}>
        {formatCount(row.promptTokens + row.outputTokens)}
      </span>
      <span role="cell">
        <Link to={`history/${encodeURIComponent(row.id)}`} className="link" aria-label={`Details of request ${row.id}`}>
          Details
        </Link>
      </span>
    </div>
  )
})
