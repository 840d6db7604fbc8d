/** Narrowing a search by the metadata of what it found: each value with the number of documents that have it, one click from being a filter. */
import { useQuery } from '@tanstack/react-query'

import { ask } from '../api/client.ts'
import type { Condition, Facets, Found, Hit } from '../api/rag-shapes.ts'
import { formatCount } from '../format.ts'
import { ErrorState } from '../parts/notices.tsx'
import { Panel } from '../parts/page.tsx'

/** What the gateway counts at once, and the longest name of a field that it counts. */
const fieldsMax = 10
const fieldCharactersMax = 100
const valuesShown = 12
/** In a filter these are the document's own, whatever its metadata says. */
const ownFields = new Set(['id', 'title', 'uri', 'contentType', 'createdAt', 'updatedAt'])

type Carried = ReadonlyMap<string, readonly unknown[]>

/** The values of each field that hits carry, those of most hits first. */
function carriedBy(hits: readonly Hit[]): Carried {
  const carried = new Map<string, unknown[]>()
  for (const { document } of hits) {
    for (const [field, value] of Object.entries(document.metadata)) {
      if (value === null || ownFields.has(field) || field.length > fieldCharactersMax) continue
      carried.set(field, [...(carried.get(field) ?? []), value])
    }
  }
  return new Map([...carried].toSorted(([a, x], [b, y]) => y.length - x.length || a.localeCompare(b)).slice(0, fieldsMax))
}

/** The filter for a value that was counted as text: a filter tells numbers from texts, and lists from single values. */
function conditionFor(field: string, text: string, carried: readonly unknown[]): Condition {
  const op = carried.some((value) => Array.isArray(value)) ? 'contains' : 'eq'
  const known = carried.flat().find((value) => String(value) === text) ?? carried.flat()[0]
  if (typeof known === 'number' && text.trim() !== '' && Number.isFinite(Number(text))) return { field, op, value: Number(text) }
  if (typeof known === 'boolean') return { field, op, value: text === 'true' }
  return { field, op, value: text }
}

const isSame = (a: Condition, b: Condition): boolean => a.field === b.field && a.value === b.value

export interface NarrowingProps {
  readonly query: string
  readonly collections: readonly string[]
  readonly filter: readonly Condition[]
  readonly hits: readonly Hit[]
  readonly onFilter: (filter: readonly Condition[]) => void
}

export function Narrowing({ query, collections, filter, hits, onFilter }: NarrowingProps) {
  const carried = carriedBy(hits)
  const facets = [...carried.keys()]
  const counted = useQuery({
    queryKey: ['facets', collections, filter, facets],
    // The counts are the same whatever is asked and in whatever way: the cheapest.
    queryFn: async ({ signal }): Promise<Facets> => {
      const response = await ask('/rag/search', { query, collections, filter, facets, mode: 'keyword', limit: 1 }, signal)
      const found: Found = await response.json()
      return found.facets
    },
    enabled: facets.length > 0,
  })
  if (facets.length === 0 && filter.length === 0) return null
  return (
    <Panel title="Narrow down" note="documents of these collections by their metadata">
      <div className="flex flex-col gap-3 px-4 py-3">
        {filter.length === 0 ? null : <Chosen filter={filter} onFilter={onFilter} />}
        {counted.error === null ? null : <ErrorState error={counted.error} />}
        {Object.entries(counted.data ?? {}).map(([field, values]) => {
          const offered = values
            .map(({ value, count }) => ({ condition: conditionFor(field, value, carried.get(field) ?? []), count }))
            .filter(({ condition }) => !filter.some((each) => isSame(each, condition)))
          return offered.length === 0 ? null : (
            <Facet key={field} field={field} offered={offered} onChoose={(condition) => onFilter([...filter, condition])} />
          )
        })}
      </div>
    </Panel>
  )
}

function Chosen({ filter, onFilter }: Pick<NarrowingProps, 'filter' | 'onFilter'>) {
  return (
    <div role="group" aria-label="Filters" className="flex flex-wrap gap-2">
      {filter.map((condition) => (
        <button
          key={JSON.stringify(condition)}
          type="button"
          className="button button-small button-strong max-w-full"
          aria-label={`Without ${condition.field}: ${condition.value}`}
          onClick={() => onFilter(filter.filter((each) => each !== condition))}
        >
          <span className="truncate">
            {condition.field}: {String(condition.value)}
          </span>
          <span aria-hidden="true"> ×</span>
        </button>
      ))}
    </div>
  )
}

interface FacetProps {
  readonly field: string
  readonly offered: readonly { readonly condition: Condition; readonly count: number }[]
  readonly onChoose: (condition: Condition) => void
}

function Facet({ field, offered, onChoose }: FacetProps) {
  return (
    <div role="group" aria-label={field} className="flex flex-wrap items-center gap-2">
      <span className="min-w-24 text-sm font-medium wrap-anywhere">{field}</span>
      {offered.slice(0, valuesShown).map(({ condition, count }) => (
        <button key={String(condition.value)} type="button" className="button button-small max-w-full" onClick={() => onChoose(condition)}>
          <span className="truncate">{String(condition.value)}</span> <span className="text-quiet">{formatCount(count)}</span>
        </button>
      ))}
    </div>
  )
}
