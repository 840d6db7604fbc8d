/** One document: what is known of it, and its text with the passage that a search or a citation points at. */
import { useQuery } from '@tanstack/react-query'

import { getJson } from '../api/client.ts'
import type { Span, StoredDocument } from '../api/rag-shapes.ts'
import { dash, formatBytes, formatCount, formatDateTime } from '../format.ts'
import { Fact } from '../parts/fact.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { documentPath, PassageText } from '../parts/passage-text.tsx'
import { Link } from '../router.tsx'

export interface DocumentViewProps {
  readonly collection: string
  readonly id: string
  readonly passage: Span | null
}

/** The passage of an address; null where it names none. */
export function readPassage(query: URLSearchParams): Span | null {
  const [start, end] = [Number(query.get('from') ?? Number.NaN), Number(query.get('to') ?? Number.NaN)]
  return Number.isInteger(start) && Number.isInteger(end) && start >= 0 && end > start ? { start, end } : null
}

export function DocumentView({ collection, id, passage }: DocumentViewProps) {
  const path = documentPath(collection, id)
  const document = useQuery({ queryKey: ['document', collection, id], queryFn: ({ signal }) => getJson<StoredDocument>(path, signal) })
  const back = (
    <Link to={`documents?in=${encodeURIComponent(collection)}`} className="link">
      {collection}
    </Link>
  )
  return (
    <Page
      title={document.data?.title ?? id}
      lead={<>In {back}</>}
      actions={
        <a className="button" href={`${path}/source`} download>
          Download as given
        </a>
      }
    >
      <Loaded read={document} what="the document">
        {(known) => (
          <>
            <Facts document={known} />
            <Panel title="Text" note={passage === null ? 'As search and citations see it' : 'The passage is marked'}>
              <PassageText collection={collection} document={id} passage={passage} />
            </Panel>
          </>
        )}
      </Loaded>
    </Page>
  )
}

function Facts({
  document: { id, contentType, sizeBytes, language, pages, chunks, revision, updatedAt, warnings },
}: {
  readonly document: StoredDocument
}) {
  const facts = [
    ['Id', id],
    ['Type', contentType],
    ['Size', formatBytes(sizeBytes)],
    ['Language', language],
    ['Pages', pages === null ? dash : formatCount(pages)],
    ['Chunks', formatCount(chunks)],
    ['Revision', String(revision)],
    ['Changed', formatDateTime(updatedAt)],
  ] as const
  return (
    <div className="panel px-4 py-3">
      <dl className="flex flex-wrap gap-x-6 gap-y-2 text-sm">
        {facts.map(([name, value]) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
      </dl>
      {warnings.length === 0 ? null : (
        <ul className="mt-2 list-disc pl-5 text-sm text-warn">
          {warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
    </div>
  )
}
