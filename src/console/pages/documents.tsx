/** Documents: the collections, one of them, or one document, as the address says. */
import type { Collection } from '../api/rag-shapes.ts'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { formatCount, formatDateTime } from '../format.ts'
import { Link, useLocation } from '../router.tsx'
import { useCollections } from './collections.ts'
import { DocumentView, readPassage } from './document-view.tsx'
import { NewCollection } from './new-collection.tsx'
import { OneCollection } from './one-collection.tsx'

export default function Documents() {
  const { query } = useLocation()
  const collection = query.get('in')
  const id = query.get('doc')
  if (collection === null) return <Collections />
  if (id === null) return <OneCollection key={collection} name={collection} />
  return <DocumentView collection={collection} id={id} passage={readPassage(query)} />
}

function Collections() {
  const collections = useCollections()
  return (
    <Page title="Documents" lead="What can be searched and answered from, in collections." actions={<NewCollection />}>
      <Loaded read={collections} what="collections">
        {(all) => <CollectionList collections={all} />}
      </Loaded>
    </Page>
  )
}

function CollectionList({ collections }: { readonly collections: readonly Collection[] }) {
  return (
    <Panel title="Collections" note={formatCount(collections.length)}>
      {collections.length === 0 ? (
        <EmptyState title="There is no collection yet">
          Create one, then drop files into it. They can be searched within seconds.
        </EmptyState>
      ) : (
        <Table
          label="Collections"
          rows={collections}
          rowKey={({ name }) => name}
          columns={[
            {
              name: 'Collection',
              cell: ({ name }) => (
                <Link to={`documents?in=${encodeURIComponent(name)}`} className="link">
                  {name}
                </Link>
              ),
            },
            { name: 'Documents', number: true, cell: ({ documents }) => formatCount(documents) },
            { name: 'Chunks', number: true, cell: ({ chunks }) => formatCount(chunks) },
            { name: 'Embedder', wideOnly: true, cell: ({ settings }) => settings.embedder ?? 'none, words only' },
            { name: 'Changed', wideOnly: true, cell: ({ updatedAt }) => formatDateTime(updatedAt) },
          ]}
        />
      )}
    </Panel>
  )
}
