/** The answer to a request from the reference: how it went and how long it took, the headers that tell how it was served, and its text as it comes. */
import { useEffect, useRef } from 'react'

import { formatBytes, formatMs } from '../format.ts'
import { CopyButton } from '../parts/copy.tsx'
import { Fact } from '../parts/fact.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { StateBadge, type Tone } from '../parts/state-badge.tsx'
import { Link } from '../router.tsx'
import { useSession } from '../session.ts'
import type { AnswerHead, TriedAnswer } from './use-attempt.ts'

/** Of an answer, where it has them; the others are for programs. */
const shownHeaders = [
  'X-Request-Id',
  'X-Corral-Node',
  'X-Corral-Route',
  'X-Corral-Cache',
  'Cache-Status',
  'X-Corral-Queue-Position',
  'Retry-After',
  'RateLimit',
  'Location',
  'ETag',
  'Allow',
  'Content-Type',
] as const

export interface TriedAnswerProps {
  /** Null: nothing was sent yet. */
  readonly answer: TriedAnswer | null
}

export function TriedAnswerView({ answer }: TriedAnswerProps) {
  if (answer === null) {
    return (
      <p className="hidden h-full rounded-md border border-dashed border-line px-4 py-10 text-center text-sm text-quiet xl:block">
        The answer appears here.
      </p>
    )
  }
  return (
    <section className="flex min-w-0 flex-col gap-3" aria-label="Answer">
      <div role="status" className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm">
        <StateBadge tone={toneOf(answer)}>{wordsOf(answer)}</StateBadge>
        <span className="text-quiet tabular-nums">{figuresOf(answer)}</span>
      </div>
      {answer.head === null ? null : <Headers head={answer.head} />}
      {answer.error === null ? null : <ErrorState error={answer.error} />}
      {answer.head === null ? null : <Text answer={answer} head={answer.head} />}
    </section>
  )
}

function toneOf({ head, state }: TriedAnswer): Tone {
  if (state === 'broken') return 'bad'
  if (head === null) return 'quiet'
  if (head.status >= 500) return 'bad'
  return head.status >= 400 ? 'warn' : 'ok'
}

function wordsOf({ head, state }: TriedAnswer): string {
  if (head === null) return state === 'waiting' ? 'waiting' : state === 'stopped' ? 'stopped' : 'no answer'
  const after = { waiting: '', coming: ', coming', done: '', stopped: ', stopped', broken: ', broken off' }[state]
  return `${head.status}${after}`
}

function figuresOf({ head, bytes, totalMs }: TriedAnswer): string {
  const parts = [
    ...(head === null ? [] : [`head after ${formatMs(head.headMs)}`]),
    ...(totalMs === null ? [] : [`whole ${formatMs(totalMs)}`]),
    ...(head === null ? [] : [formatBytes(bytes)]),
  ]
  return parts.join(' · ')
}

function Headers({ head: { headers } }: { readonly head: AnswerHead }) {
  const isAdmin = useSession().data?.caller?.scopes.includes('admin') ?? false
  const shown = shownHeaders.flatMap((name) => {
    const value = headers.get(name)
    return value === null ? [] : [{ name, value }]
  })
  // What a node has served is in the history; what the gateway answers by itself is not.
  const isKept = isAdmin && headers.has('x-corral-node')
  return (
    <dl className="grid gap-x-6 gap-y-2 text-sm sm:grid-cols-2">
      {shown.map(({ name, value }) => (
        <Fact key={name} name={name}>
          {name === 'X-Request-Id' && isKept ? (
            <Link to={`history/${encodeURIComponent(value)}`} className="link">
              <code>{value}</code>
            </Link>
          ) : (
            <code>{value}</code>
          )}
        </Fact>
      ))}
    </dl>
  )
}

interface TextProps {
  readonly answer: TriedAnswer
  readonly head: AnswerHead
}

function Text({ answer: { text, state, bytes, isCut, source }, head }: TextProps) {
  const box = useRef<HTMLPreElement>(null)
  // What comes last is in sight while it comes.
  useEffect(() => {
    if (state === 'coming' && box.current !== null) box.current.scrollTop = box.current.scrollHeight
  }, [text, state])
  if (!head.isText) return <Bytes source={source} />
  if (text === '') return state === 'coming' ? null : <p className="text-sm text-quiet">Without a body.</p>
  const shown = state === 'done' && !isCut ? pretty(text, head.headers) : text
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex items-center justify-between gap-2 text-sm font-medium">
        Body
        <CopyButton text={shown} />
      </figcaption>
      <pre
        ref={box}
        className="max-h-112 overflow-y-auto rounded-md bg-raised px-3 py-2 text-sm wrap-anywhere whitespace-pre-wrap"
        tabIndex={0}
        role="group"
        aria-label="Body of the answer"
      >
        {shown}
      </pre>
      {isCut ? <p className="mt-1 text-xs text-quiet">The beginning of {formatBytes(bytes)}.</p> : null}
    </figure>
  )
}

function Bytes({ source }: { readonly source: string | null }) {
  return (
    <p className="text-sm text-quiet">
      Bytes that are no text are not shown.{' '}
      {source === null ? null : (
        <a className="link" href={source} download>
          Save them
        </a>
      )}
    </p>
  )
}

/** JSON with its indents. A stream of JSON lines stays as it came. */
function pretty(text: string, headers: Headers): string {
  if (!/[/+]json\b/.test(headers.get('content-type') ?? '')) return text
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
