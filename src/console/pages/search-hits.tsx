/** The hits of a search in order: the passage with what matched in it, the scores of both legs, and the reason of the rank. */
import type { Hit } from '../api/rag-shapes.ts'
import { dash } from '../format.ts'
import { MarkedText } from '../parts/marked-text.tsx'
import { Link } from '../router.tsx'
import { passageAddress } from './collections.ts'

export interface HitListProps {
  readonly hits: readonly Hit[]
  readonly explains: boolean
  readonly mode: string
}

export function HitList({ hits, explains, mode }: HitListProps) {
  const ranks = { keyword: rankBy(hits, 'keyword'), vector: rankBy(hits, 'vector') }
  return (
    <ol aria-label="Results">
      {hits.map((hit, index) => (
        <li key={hit.chunk.id} className="border-b border-line px-4 py-4 last:border-b-0">
          <HitView hit={hit} place={index + 1} />
          {explains ? <p className="mt-2 text-sm text-quiet">{whyHere(hit, ranks, mode)}</p> : null}
        </li>
      ))}
    </ol>
  )
}

type Leg = 'keyword' | 'vector'

/** Where each chunk stands among those shown, by one leg alone. */
function rankBy(hits: readonly Hit[], leg: Leg): ReadonlyMap<string, number> {
  const found = hits.flatMap(({ chunk: { id }, scores }) => (scores[leg] === null ? [] : [{ id, score: scores[leg] }]))
  return new Map(found.toSorted((a, b) => b.score - a.score).map(({ id }, index) => [id, index + 1]))
}

function whyHere({ chunk: { id }, scores }: Hit, ranks: Readonly<Record<Leg, ReadonlyMap<string, number>>>, mode: string): string {
  const byWords = ranks.keyword.get(id)
  const byVectors = ranks.vector.get(id)
  const told = [
    byWords === undefined ? unlessLeftOut(mode === 'vector', 'not found by words') : `#${byWords} of these by words`,
    byVectors === undefined ? unlessLeftOut(mode === 'keyword', 'not among the nearest vectors') : `#${byVectors} of these by vectors`,
    scores.rerank === null ? '' : 'ordered again by the reranker',
  ]
  return `Why here: ${told.filter((text) => text !== '').join(', ')}.`
}

function unlessLeftOut(isLeftOut: boolean, text: string): string {
  return isLeftOut ? '' : text
}

function HitView({ hit, place }: { readonly hit: Hit; readonly place: number }) {
  const { collection, document, chunk, score, scores, highlights, before, after } = hit
  const address = passageAddress({ collection, document: document.id, start: chunk.start, end: chunk.end })
  const where = [collection, chunk.page === null ? '' : `page ${chunk.page}`, ...chunk.headings].filter((text) => text !== '')
  return (
    <article className="grid gap-x-6 gap-y-2 md:grid-cols-[1fr_14rem]">
      <div className="min-w-0">
        <h3 className="font-semibold wrap-anywhere">
          <span className="text-quiet tabular-nums">{place}. </span>
          <Link to={address} className="link">
            {document.title === '' ? document.id : document.title}
          </Link>
        </h3>
        <p className="text-xs text-quiet wrap-anywhere">{where.join(' › ')}</p>
        <p className={`mt-1 max-w-prose wrap-anywhere whitespace-pre-line ${before + after === '' ? 'line-clamp-6' : ''}`}>
          <span className="text-quiet">{before}</span>
          <MarkedText text={chunk.text} spans={highlights} />
          <span className="text-quiet">{after}</span>
        </p>
      </div>
      <dl className="grid grid-cols-4 gap-x-3 self-start text-xs" aria-label={`Scores of result ${place}`}>
        <Score name="Fused" value={score} />
        <Score name="BM25" value={scores.keyword} />
        <Score name="Vector" value={scores.vector} />
        {scores.rerank === null ? null : <Score name="Rerank" value={scores.rerank} />}
      </dl>
    </article>
  )
}

function Score({ name, value }: { readonly name: string; readonly value: number | null }) {
  return (
    <div>
      <dt className="text-quiet">{name}</dt>
      <dd className="text-sm tabular-nums">{value === null ? dash : value.toFixed(3)}</dd>
    </div>
  )
}
