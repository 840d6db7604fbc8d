/** The collections of the tenant, for every page that names some. */
import { useQuery } from '@tanstack/react-query'

import { getJson } from '../api/client.ts'
import type { Collection } from '../api/rag-shapes.ts'

interface CollectionPage {
  readonly collections: readonly Collection[]
  readonly next: string | null
}

export const collectionsKey = ['collections']
/** Pages that are read of the list; a tenant with more names them in the address. */
const pagesMax = 10

async function readCollections(signal: AbortSignal): Promise<readonly Collection[]> {
  const all: Collection[] = []
  let cursor = ''
  for (let page = 0; page < pagesMax; page += 1) {
    const { collections, next } = await getJson<CollectionPage>(`/rag/collections?limit=200${cursor}`, signal)
    all.push(...collections)
    if (next === null) break
    cursor = `&cursor=${encodeURIComponent(next)}`
  }
  return all
}

export function useCollections({ enabled = true }: { readonly enabled?: boolean } = {}) {
  return useQuery({ queryKey: collectionsKey, queryFn: ({ signal }) => readCollections(signal), enabled })
}

/** The address of a passage in its document, below `/console/`. */
export function passageAddress(place: { collection: string; document: string; start?: number; end?: number }): string {
  const query = new URLSearchParams({ in: place.collection, doc: place.document })
  if (place.start !== undefined && place.end !== undefined) {
    query.set('from', String(place.start))
    query.set('to', String(place.end))
  }
  return `documents?${query.toString()}`
}
