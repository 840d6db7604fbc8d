/** Documents on their way into a collection: the stage of each, what failed and why, and the ways to stop and start them. */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef } from 'react'

import { change, getJson } from '../api/client.ts'
import { follow } from '../api/follow.ts'
import type { Job, JobPage, JobStage, JobState } from '../api/rag-shapes.ts'
import { formatCount, formatDateTime, formatMs } from '../format.ts'
import { Choice } from '../parts/choice.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState, ErrorState } from '../parts/notices.tsx'
import { Panel } from '../parts/page.tsx'
import { StateBadge, type Tone } from '../parts/state-badge.tsx'
import { setQuery, useLocation } from '../router.tsx'
import { collectionsKey } from './collections.ts'

const states: readonly JobState[] = ['running', 'queued', 'paused', 'failed', 'done', 'cancelled']
const tones: Readonly<Record<JobState, Tone>> = {
  running: 'ok',
  queued: 'quiet',
  paused: 'warn',
  failed: 'bad',
  done: 'ok',
  cancelled: 'quiet',
}
/** The gateway sends nothing while nothing changes, and after a minute asks to be asked again. */
const silentMsMax = 75_000

interface JobsProps {
  readonly collection: string
  readonly mayWrite: boolean
}

const moving = ({ counts }: JobPage): number => (counts.running ?? 0) + (counts.queued ?? 0)

/** The jobs, as the gateway pushes them; the documents are read again whenever one has come to its end. */
function useJobs(collection: string, state: string) {
  const client = useQueryClient()
  const query = new URLSearchParams({ collection, limit: '100', ...(state === '' ? {} : { state }) })
  const path = `/rag/jobs?${query.toString()}`
  const jobs = useQuery({ queryKey: ['jobs', collection, state], queryFn: ({ signal }) => getJson<JobPage>(path, signal) })
  useEffect(() => {
    const queryKey = ['jobs', collection, state]
    return follow({
      path,
      silentMsMax,
      events: { jobs: (data) => client.setQueryData<JobPage>(queryKey, JSON.parse(data)) },
      // Read once by itself, so that the page says why.
      onBroken: () => void client.invalidateQueries({ queryKey }),
    })
  }, [client, collection, path, state])
  const ended = jobs.data === undefined ? null : (jobs.data.counts.done ?? 0) + (jobs.data.counts.failed ?? 0)
  const before = useRef<number | null>(null)
  useEffect(() => {
    if (before.current !== null && ended !== before.current) {
      void client.invalidateQueries({ queryKey: ['documents', collection] })
      void client.invalidateQueries({ queryKey: collectionsKey })
    }
    before.current = ended
  }, [client, collection, ended])
  return jobs
}

export function Jobs({ collection, mayWrite }: JobsProps) {
  const { query } = useLocation()
  const state = query.get('jobs') ?? ''
  const jobs = useJobs(collection, state)
  return (
    <Loaded read={jobs} what="jobs">
      {(page) => <JobList collection={collection} page={page} state={state} mayWrite={mayWrite} />}
    </Loaded>
  )
}

interface JobListProps extends JobsProps {
  readonly page: JobPage
  /** The state that is looked for; empty: all that are not at their end. */
  readonly state: string
}

function JobList({ collection, page, state, mayWrite }: JobListProps) {
  const client = useQueryClient()
  const acting = useMutation({
    mutationFn: (path: string) => change<object>('POST', path, {}),
    onSettled: () => client.invalidateQueries({ queryKey: ['jobs', collection] }),
  })
  const { counts } = page
  const shown = page.jobs.filter((job) => state !== '' || (job.state !== 'done' && job.state !== 'cancelled'))
  return (
    <Panel
      title="On their way"
      note={moving(page) === 0 ? 'nothing is under way' : `${formatCount(moving(page))} under way`}
      actions={
        mayWrite && (counts.failed ?? 0) > 0 ? (
          <button
            type="button"
            className="button button-small"
            onClick={() => acting.mutate(`/rag/collections/${encodeURIComponent(collection)}/retry-failed`)}
          >
            Retry all failed
          </button>
        ) : undefined
      }
    >
      <StateFilter counts={counts} chosen={state} />
      {acting.error === null ? null : <ErrorState error={acting.error} />}
      {shown.length === 0 && state !== '' ? <EmptyState title={`No job is ${state}`} /> : null}
      <ul aria-label="Jobs">
        {shown.map((job) => (
          <li key={job.id} className="border-t border-line px-4 py-3">
            <JobView job={job} onAct={mayWrite ? (deed) => acting.mutate(`/rag/jobs/${encodeURIComponent(job.id)}/${deed}`) : null} />
          </li>
        ))}
      </ul>
    </Panel>
  )
}

function StateFilter({ counts, chosen }: { readonly counts: JobPage['counts']; readonly chosen: string }) {
  const options = ['', ...states.filter((state) => state === chosen || (counts[state] ?? 0) > 0)].map((state) => ({
    value: state,
    text: labelOf(state, counts),
  }))
  return (
    <div className="px-4 py-3">
      <Choice label="State of jobs" options={options} chosen={chosen} onChoose={(state) => setQuery({ jobs: state })} />
    </div>
  )
}

function labelOf(state: string, counts: JobPage['counts']): string {
  const known = states.find((each) => each === state)
  return known === undefined ? 'unfinished' : `${known} ${formatCount(counts[known] ?? 0)}`
}

type Deed = 'pause' | 'resume' | 'cancel' | 'retry'

const deeds: Readonly<Record<JobState, readonly Deed[]>> = {
  running: ['pause', 'cancel'],
  queued: ['pause', 'cancel'],
  paused: ['resume', 'cancel'],
  failed: ['retry'],
  done: [],
  cancelled: [],
}

const deedNames: Readonly<Record<Deed, string>> = { pause: 'Pause', resume: 'Resume', cancel: 'Cancel', retry: 'Retry' }

function JobView({ job, onAct }: { readonly job: Job; readonly onAct: ((deed: Deed) => void) | null }) {
  const { name, document, state, stages, error, attempts, createdAt } = job
  const isOpen = state === 'running' || state === 'queued' || state === 'paused'
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="min-w-0 font-medium wrap-anywhere">{name === '' ? document : name}</span>
        <StateBadge tone={tones[state]}>{state}</StateBadge>
        <span className="grow text-xs text-quiet">
          {outcomeOf(job)} {formatDateTime(createdAt)}
          {attempts > 1 ? `, try ${attempts}` : ''}
        </span>
        {onAct === null
          ? null
          : deeds[state].map((deed) => (
              <button
                key={deed}
                type="button"
                className="button button-small"
                aria-label={`${deedNames[deed]} ${name}`}
                onClick={() => onAct(deed)}
              >
                {deedNames[deed]}
              </button>
            ))}
      </div>
      {isOpen ? <Stages name={name} stages={stages} /> : null}
      {error === null ? null : (
        <p className="mt-1 max-w-prose text-sm wrap-anywhere">
          <code className="text-bad">{error.code}</code> {error.message} <span className="text-quiet">{error.hint}</span>
        </p>
      )}
    </>
  )
}

function outcomeOf({ outcome, duplicateOf }: Job): string {
  if (outcome === null) return ''
  return outcome === 'duplicate' ? `the same as ${duplicateOf},` : `${outcome},`
}

function Stages({ name, stages }: { readonly name: string; readonly stages: readonly JobStage[] }) {
  return (
    <ol className="mt-2 grid grid-cols-5 gap-2 text-xs text-quiet">
      {stages.map(({ stage, done, total, etaMs }) => (
        <li key={stage} className="min-w-0">
          <progress value={total === 0 ? 0 : done} max={Math.max(1, total)} aria-label={`${name}: ${stage}`} />
          <span className="mt-1 block text-ink">{stage}</span>
          <span className="block tabular-nums">
            {formatCount(done)} of {formatCount(total)}
          </span>
          {etaMs === null || done >= total ? null : <span className="block">{formatMs(etaMs)} left</span>}
        </li>
      ))}
    </ol>
  )
}
