/** One request: where its time went, who served it and after how many tries, what it cost, and its words where those are kept. */
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'

import type { HistoryDetail } from '../../core/request-history.ts'
import { ApiError, getJson } from '../api/client.ts'
import { dash, formatCount, formatDateTime, formatMs } from '../format.ts'
import { CopyButton } from '../parts/copy.tsx'
import { Fact } from '../parts/fact.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { ErrorState, Loading } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Link } from '../router.tsx'
import { outcomeTone } from './outcome-tone.ts'
import { type StageKind, stagesOf } from './request-stages.ts'

export function OneRequest({ id }: { readonly id: string }) {
  const read = useQuery({
    queryKey: ['request', id],
    queryFn: ({ signal }) => getJson<HistoryDetail>(`/admin/requests/history/${encodeURIComponent(id)}`, signal),
  })
  const back = (
    <Link to="history" className="link">
      All requests
    </Link>
  )
  return (
    <Page title="Request" lead={back} actions={<CopyButton text={id} label="Copy id" />}>
      <Loaded read={read} what="the request">
        {(request) => <Details request={request} />}
      </Loaded>
    </Page>
  )
}

function Details({ request }: { readonly request: HistoryDetail }) {
  return (
    <>
      <Panel
        title={request.route}
        note={formatDateTime(request.at)}
        actions={<StateBadge tone={outcomeTone(request)}>{request.outcome}</StateBadge>}
      >
        <Waterfall request={request} />
      </Panel>
      <Panel title="Facts">
        <dl className="grid gap-x-6 gap-y-3 p-4 sm:grid-cols-2 xl:grid-cols-4">
          <Fact name="Request id">
            <code>{request.id}</code>
          </Fact>
          <Fact name="Model">{request.model ?? dash}</Fact>
          <Fact name="Node">{request.node ?? 'none'}</Fact>
          <Fact name="Why there">{request.reason ?? dash}</Fact>
          <Fact name="Tries">{request.attempts}</Fact>
          <Fact name="Status">
            {request.status}
            {request.error === null ? '' : `, ${request.error}`}
          </Fact>
          <Fact name="Cache">{request.cache ?? 'had no part in it'}</Fact>
          <Fact name="Caller">{`${request.tenant}${request.subject === null ? '' : ` / ${request.subject}`}`}</Fact>
          <Fact name="GPU time">{`${request.gpuSeconds.toFixed(3)} s${request.estimated ? ', estimated' : ''}`}</Fact>
          <Fact name="Prompt tokens">{`${formatCount(request.promptTokens)}, ${formatCount(request.cachedPromptTokens)} of them cached`}</Fact>
          <Fact name="Output tokens">{formatCount(request.outputTokens)}</Fact>
        </dl>
      </Panel>
      <Why id={request.id} />
      <Words title="Prompt" text={request.prompt} cut={request.promptCut} />
      <Words title="Answer" text={request.answer} cut={request.answerCut} />
    </>
  )
}

const inks: Readonly<Record<StageKind, string>> = { wait: 'bg-warn', node: 'bg-quiet', output: 'bg-ok', cache: 'bg-ok' }

/** What happened one after the other, on one scale. */
function Waterfall({ request }: { readonly request: HistoryDetail }) {
  const whole = Math.max(1, request.durationMs)
  return (
    <ol className="flex flex-col gap-2 p-4" aria-label="Where the time went">
      {stagesOf(request).map(({ name, kind, fromMs, ms }) => (
        <li key={name} className="grid grid-cols-[8.5rem_1fr_4.5rem] items-center gap-3 text-sm sm:grid-cols-[11rem_1fr_5rem]">
          <span>{name}</span>
          <span className="h-3 overflow-hidden rounded-sm bg-raised" aria-hidden="true">
            <span
              className={`block h-3 min-w-0.5 rounded-sm ${inks[kind]}`}
              style={{ marginLeft: `${(fromMs / whole) * 100}%`, width: `${(ms / whole) * 100}%` }}
            />
          </span>
          <span className="text-right tabular-nums">{formatMs(ms)}</span>
        </li>
      ))}
    </ol>
  )
}

/** The decisions behind it, where the request asked for them to be kept. */
function Why({ id }: { readonly id: string }) {
  const [asked, setAsked] = useState(false)
  const read = useQuery({
    queryKey: ['explain', id],
    queryFn: ({ signal }) => getJson<{ readonly summary: readonly string[] }>(`/admin/requests/${encodeURIComponent(id)}/explain`, signal),
    enabled: asked,
    retry: false,
  })
  const summary = read.data?.summary
  const isNotKept = read.error instanceof ApiError && read.error.status === 404
  return (
    <Panel title="Why it went this way">
      <div className="flex flex-col items-start gap-2 p-4 text-sm">
        {asked ? null : (
          <button type="button" className="button" onClick={() => setAsked(true)}>
            Show the decisions
          </button>
        )}
        {read.isLoading ? <Loading what="the decisions" /> : null}
        {read.error === null ? null : isNotKept ? (
          <p className="text-quiet">
            Not kept. A request that is sent with <code>X-Corral-Explain: true</code> keeps which nodes were looked at and what each would
            have cost, for a while.
          </p>
        ) : (
          <ErrorState error={read.error} onRetry={() => void read.refetch()} />
        )}
        {summary === undefined ? null : (
          <ol className="flex list-decimal flex-col gap-1 pl-5">
            {summary.map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ol>
        )}
      </div>
    </Panel>
  )
}

function Words({ title, text, cut }: { readonly title: string; readonly text: string | null; readonly cut: boolean }) {
  if (text === null) return null
  return (
    <Panel title={title} {...(cut ? { note: 'cut' } : {})}>
      <pre className="max-h-96 overflow-auto p-4 text-sm whitespace-pre-wrap" tabIndex={0}>
        {text}
      </pre>
    </Panel>
  )
}
