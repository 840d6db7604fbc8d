/** One answer: its text with numbered citations, the passages behind it, and what it took. */
import { useState } from 'react'

import { atGateway } from '../api/place.ts'
import type { Citation, Passage } from '../api/rag-shapes.ts'
import { formatCount, formatMs, formatRate } from '../format.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Markdown } from '../parts/markdown.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { PassageText } from '../parts/passage-text.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { passageAddress } from './collections.ts'
import type { Exchange } from './use-conversation.ts'

export function AnswerView({ exchange }: { readonly exchange: Exchange }) {
  const { text, thinking, citations, sources, state, error } = exchange
  const [opened, setOpened] = useState<Passage | null>(null)
  const cite = (index: number) => {
    const citation = citations[index]
    return citation === undefined ? null : <Chip citation={citation} onOpen={() => setOpened(citation)} />
  }
  return (
    <div className="flex max-w-prose flex-col gap-3" aria-busy={state === 'under way'}>
      {thinking === '' ? null : (
        <details>
          <summary className="text-sm text-quiet">Thinking</summary>
          <p className="mt-1 border-l-2 border-line pl-3 text-sm wrap-anywhere whitespace-pre-line text-quiet">{thinking}</p>
        </details>
      )}
      {text === '' && state === 'under way' ? <p className="text-quiet">Waiting for the first word…</p> : null}
      <Markdown text={withMarks(text, citations)} cite={cite} />
      {sources.length === 0 ? null : <Sources sources={sources} onOpen={setOpened} />}
      {error === null ? null : <ErrorState error={error} />}
      {state === 'under way' ? null : <Footer exchange={exchange} />}
      {opened === null ? null : <PassageDialog passage={opened} onClose={() => setOpened(null)} />}
    </div>
  )
}

/** The text with each checked citation's mark replaced by its index between private characters, the last one first. */
function withMarks(text: string, citations: readonly Citation[]): string {
  const places = citations.map(({ marker }, index) => ({ marker, index })).toSorted((a, b) => b.marker.start - a.marker.start)
  let marked = text
  for (const { marker, index } of places) {
    if (marker.end <= text.length) marked = `${marked.slice(0, marker.start)}\uE000${index}\uE001${marked.slice(marker.end)}`
  }
  return marked
}

function Chip({ citation, onOpen }: { readonly citation: Citation; readonly onOpen: () => void }) {
  return (
    <button
      type="button"
      className="mx-0.5 rounded bg-raised px-1.5 align-baseline text-xs font-medium text-link tabular-nums hover:underline"
      aria-label={`Citation ${citation.number}: ${citation.title}`}
      title={citation.quote}
      onClick={onOpen}
    >
      {citation.number}
    </button>
  )
}

function Sources({ sources, onOpen }: { readonly sources: readonly Passage[]; readonly onOpen: (passage: Passage) => void }) {
  return (
    <details>
      <summary className="text-sm text-quiet">
        {formatCount(sources.length)} {sources.length === 1 ? 'passage was' : 'passages were'} given to the model
      </summary>
      <ul className="mt-1 flex flex-col gap-1 text-sm">
        {sources.map((source) => (
          <li key={source.number}>
            <span className="tabular-nums">{source.number}. </span>
            <button type="button" className="link text-left wrap-anywhere" onClick={() => onOpen(source)}>
              {source.title === '' ? source.document : source.title}
              {source.page === null ? '' : `, page ${source.page}`}
            </button>
          </li>
        ))}
      </ul>
    </details>
  )
}

function PassageDialog({ passage, onClose }: { readonly passage: Passage; readonly onClose: () => void }) {
  const { collection, document, title } = passage
  return (
    <Dialog title={title === '' ? document : title} onClose={onClose}>
      <a className="link self-start" href={atGateway(`/console/${passageAddress(passage)}`)} target="_blank" rel="noopener">
        Open in {collection}
      </a>
      <div className="-mx-4 max-h-[60vh] overflow-y-auto border-t border-line" tabIndex={0} role="group" aria-label="Text of the document">
        <PassageText collection={collection} document={document} passage={passage} />
      </div>
    </Dialog>
  )
}

function Footer({ exchange }: { readonly exchange: Exchange }) {
  const { state, firstMs, totalMs, promptTokens, outputTokens, model, node, cache, requestId, notes } = exchange
  const streamMs = (totalMs ?? 0) - (firstMs ?? 0)
  const facts = [
    firstMs === null ? '' : `first token ${formatMs(firstMs)}`,
    `whole ${formatMs(totalMs)}`,
    promptTokens === null ? '' : `${formatCount(promptTokens)} tokens in`,
    outputTokens === null ? '' : `${formatCount(outputTokens)} out`,
    // A kept answer comes at once and costs no token: it has no speed.
    outputTokens === null || outputTokens === 0 || firstMs === null || streamMs <= 0
      ? ''
      : `${formatRate((outputTokens / streamMs) * 1_000)} tokens/s`,
    model,
    node === null ? '' : `node ${node}`,
    cache === null ? '' : `cache ${cache}`,
    ...notes,
  ]
  return (
    <p className="flex flex-wrap items-center gap-x-2 text-xs text-quiet">
      {state === 'done' ? null : <StateBadge tone={state === 'failed' ? 'bad' : 'warn'}>{state}</StateBadge>}
      <span>{facts.filter((fact) => fact !== '').join(' · ')}</span>
      <code className="wrap-anywhere">{requestId}</code>
    </p>
  )
}
