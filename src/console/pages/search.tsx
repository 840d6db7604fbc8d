/** Searching collections, and why each hit stands where it does. The whole search is in the address. */
import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { ask } from '../api/client.ts'
import type { Condition, Found } from '../api/rag-shapes.ts'
import { formatCount, formatMs } from '../format.ts'
import { CollectionPicker } from '../parts/collection-picker.tsx'
import { Fact } from '../parts/fact.tsx'
import { Field, Select } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Link, navigate, useLocation } from '../router.tsx'
import { useCollections } from './collections.ts'
import { Narrowing } from './search-facets.tsx'
import { HitList } from './search-hits.tsx'

const modes = [
  { value: 'hybrid', text: 'Words and vectors' },
  { value: 'keyword', text: 'Words only (BM25)' },
  { value: 'vector', text: 'Vectors only' },
]
const limits = ['5', '10', '20', '50'].map((value) => ({ value, text: value }))

interface Wish {
  readonly query: string
  readonly collections: readonly string[]
  readonly mode: string
  readonly limit: string
  readonly perDocument: boolean
  readonly section: boolean
  readonly explain: boolean
  readonly filter: readonly Condition[]
}

/** The conditions of an address, each as the API takes it; what was mistyped is none. */
function readFilter(texts: readonly string[]): Condition[] {
  return texts.flatMap((text) => {
    try {
      const condition: Condition | null = JSON.parse(text)
      return isCondition(condition) ? [condition] : []
    } catch {
      return []
    }
  })
}

function isCondition(value: Condition | null): value is Condition {
  return typeof value === 'object' && value !== null && typeof value.field === 'string' && typeof value.op === 'string'
}

function readWish(query: URLSearchParams): Wish {
  return {
    query: query.get('q') ?? '',
    collections: query.getAll('in'),
    mode: query.get('mode') ?? 'hybrid',
    limit: query.get('limit') ?? '10',
    perDocument: query.has('per'),
    section: query.has('section'),
    explain: !query.has('plain'),
    filter: readFilter(query.getAll('filter')),
  }
}

function addressOf({ query, collections, mode, limit, perDocument, section, explain, filter }: Wish): string {
  const parameters = new URLSearchParams({ q: query })
  for (const name of collections) parameters.append('in', name)
  if (mode !== 'hybrid') parameters.set('mode', mode)
  if (limit !== '10') parameters.set('limit', limit)
  if (perDocument) parameters.set('per', '1')
  if (section) parameters.set('section', '1')
  if (!explain) parameters.set('plain', '1')
  for (const condition of filter) parameters.append('filter', JSON.stringify(condition))
  return `search?${parameters.toString()}`
}

interface Answer extends Found {
  readonly requestId: string
  readonly roundTripMs: number
}

async function runSearch({ limit, ...wish }: Wish, signal: AbortSignal): Promise<Answer> {
  const startedMs = performance.now()
  const response = await ask('/rag/search', { ...wish, limit: Number(limit) }, signal)
  const found: Found = await response.json()
  return { ...found, requestId: response.headers.get('x-request-id') ?? '', roundTripMs: performance.now() - startedMs }
}

export default function Search() {
  const { query } = useLocation()
  const collections = useCollections()
  const wish = readWish(query)
  const isAsked = wish.query.trim() !== '' && wish.collections.length > 0
  const search = useQuery({ queryKey: ['search', wish], queryFn: ({ signal }) => runSearch(wish, signal), enabled: isAsked })
  return (
    <Page title="Search" lead="What a question finds in your documents, and how each hit came to its place.">
      <Loaded read={collections} what="collections">
        {(all) => <SearchForm key={query.toString()} wish={wish} collections={all} />}
      </Loaded>
      {isAsked ? (
        <Narrowing {...wish} hits={search.data?.results ?? []} onFilter={(filter) => navigate(addressOf({ ...wish, filter }))} />
      ) : null}
      {isAsked ? (
        <Loaded read={search} what="results">
          {(answer) => <Results answer={answer} wish={wish} />}
        </Loaded>
      ) : null}
    </Page>
  )
}

interface SearchFormProps {
  readonly wish: Wish
  readonly collections: Parameters<typeof CollectionPicker>[0]['collections']
}

function SearchForm({ wish, collections }: SearchFormProps) {
  const first = collections.find(({ documents }) => documents > 0)?.name
  const preset = wish.collections.length === 0 && first !== undefined ? [first] : wish.collections
  const [draft, setDraft] = useState<Wish>({ ...wish, collections: preset })
  const change = (part: Partial<Wish>): void => setDraft({ ...draft, ...part })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    navigate(addressOf(draft))
  }
  if (collections.length === 0) {
    return (
      <Panel title="Nothing to search yet">
        <EmptyState title="There is no collection">
          <Link to="documents" className="link">
            Create one and give it documents
          </Link>
          , then search here.
        </EmptyState>
      </Panel>
    )
  }
  return (
    <form className="panel flex flex-col gap-4 p-4" role="search" onSubmit={submit}>
      <div className="flex items-end gap-2">
        <div className="grow">
          <Field
            label="Question or words"
            type="search"
            required
            value={draft.query}
            onChange={({ target }) => change({ query: target.value })}
          />
        </div>
        <button type="submit" className="button button-strong" disabled={draft.collections.length === 0}>
          Search
        </button>
      </div>
      <CollectionPicker collections={collections} chosen={draft.collections} onChange={(chosen) => change({ collections: chosen })} />
      <div className="flex flex-wrap items-end gap-x-4 gap-y-3">
        <Select label="By" options={modes} value={draft.mode} onChange={({ target }) => change({ mode: target.value })} />
        <Select label="Results" options={limits} value={draft.limit} onChange={({ target }) => change({ limit: target.value })} />
        <Check label="One per document" checked={draft.perDocument} onChange={(perDocument) => change({ perDocument })} />
        <Check label="With the section around" checked={draft.section} onChange={(section) => change({ section })} />
        <Check label="Explain (not from the cache)" checked={draft.explain} onChange={(explain) => change({ explain })} />
      </div>
    </form>
  )
}

interface CheckProps {
  readonly label: string
  readonly checked: boolean
  readonly onChange: (checked: boolean) => void
}

function Check({ label, checked, onChange }: CheckProps) {
  return (
    <label className="flex min-h-8 items-center gap-2">
      <input type="checkbox" checked={checked} onChange={({ target }) => onChange(target.checked)} />
      {label}
    </label>
  )
}

const stages = [
  { name: 'Embedding', key: 'embedMs' },
  { name: 'Words', key: 'keywordMs' },
  { name: 'Vectors', key: 'vectorMs' },
  { name: 'Fusing', key: 'fuseMs' },
  { name: 'Reranking', key: 'rerankMs' },
  { name: 'Search', key: 'totalMs' },
] as const

function cacheWord({ cached }: Found, { explain }: Wish): string {
  if (explain) return 'passed by, to explain'
  return cached ? 'hit' : 'miss'
}

function Results({ answer, wish }: { readonly answer: Answer; readonly wish: Wish }) {
  const { results, timings, explain = [], degraded, degradedReason, requestId, roundTripMs } = answer
  return (
    <>
      <Panel
        title={`${formatCount(results.length)} ${results.length === 1 ? 'result' : 'results'}`}
        actions={degraded ? <StateBadge tone="warn">degraded</StateBadge> : undefined}
      >
        {degraded ? <p className="border-b border-line px-4 py-2 text-sm text-warn">{degradedReason}</p> : null}
        {results.length === 0 ? (
          <EmptyState title="Nothing was found">Use fewer words, or other ones, or search in more collections.</EmptyState>
        ) : (
          <HitList hits={results} explains={wish.explain} mode={wish.mode} />
        )}
      </Panel>
      <Panel title="How it was searched">
        <dl className="flex flex-wrap gap-x-6 gap-y-2 px-4 py-3 text-sm">
          {stages.map(({ name, key }) => (
            <Fact key={key} name={name}>
              {formatMs(timings[key])}
            </Fact>
          ))}
          <Fact name="Seen from here">{formatMs(roundTripMs)}</Fact>
          <Fact name="Cache">{cacheWord(answer, wish)}</Fact>
          <Fact name="Request">{requestId}</Fact>
        </dl>
        {explain.length === 0 ? null : (
          <ul className="list-disc border-t border-line py-3 pr-4 pl-8 text-sm">
            {explain.map((line) => (
              <li key={line} className="wrap-anywhere">
                {line}
              </li>
            ))}
          </ul>
        )}
      </Panel>
    </>
  )
}
