/** One collection: what comes in, what is under way, what is there. */
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { change, getJson } from '../api/client.ts'
import type { StoredDocument } from '../api/rag-shapes.ts'
import { formatBytes, formatCount, formatDateTime } from '../format.ts'
import { Confirm } from '../parts/dialog.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState, ErrorState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { documentPath } from '../parts/passage-text.tsx'
import { ShowMore } from '../parts/show-more.tsx'
import { StateBadge } from '../parts/state-badge.tsx'
import { Table } from '../parts/table.tsx'
import { Link, navigate } from '../router.tsx'
import { collectionsKey, passageAddress } from './collections.ts'
import { Jobs } from './jobs.tsx'
import { useMayWrite } from './may-write.ts'
import { ReingestCollection } from './reingest-collection.tsx'
import { Upload } from './upload.tsx'

export function OneCollection({ name }: { readonly name: string }) {
  const mayWrite = useMayWrite()
  return (
    <Page
      title={name}
      lead={
        <>
          A collection of{' '}
          <Link to="documents" className="link">
            Documents
          </Link>
        </>
      }
      actions={
        <>
          <Link to={`search?in=${encodeURIComponent(name)}`} className="button">
            Search in it
          </Link>
          {mayWrite ? <ReingestCollection name={name} /> : null}
          {mayWrite ? <DeleteCollection name={name} /> : null}
        </>
      }
    >
      {mayWrite ? <Upload key={name} collection={name} /> : null}
      <Jobs collection={name} mayWrite={mayWrite} />
      <DocumentList collection={name} mayWrite={mayWrite} />
    </Page>
  )
}

function DeleteCollection({ name }: { readonly name: string }) {
  const client = useQueryClient()
  const [isAsking, setIsAsking] = useState(false)
  const deleting = useMutation({
    mutationFn: () => change('DELETE', `/rag/collections/${encodeURIComponent(name)}`),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: collectionsKey })
      navigate('documents')
    },
  })
  return (
    <>
      <button type="button" className="button button-bad" onClick={() => setIsAsking(true)}>
        Delete collection
      </button>
      {isAsking ? (
        <Confirm
          title={`Delete ${name}?`}
          action="Delete for good"
          busy={deleting.isPending}
          onConfirm={() => deleting.mutate()}
          onClose={() => setIsAsking(false)}
        >
          All its documents go, with their text, vectors and bytes. Nothing of it stays.
          {deleting.error === null ? null : <ErrorState error={deleting.error} />}
        </Confirm>
      ) : null}
    </>
  )
}

interface DocumentPage {
  readonly documents: readonly StoredDocument[]
  readonly next: string | null
}

function useDocuments(collection: string) {
  const base = `/rag/collections/${encodeURIComponent(collection)}/documents?limit=100`
  return useInfiniteQuery({
    queryKey: ['documents', collection],
    queryFn: ({ pageParam, signal }) =>
      getJson<DocumentPage>(pageParam === '' ? base : `${base}&cursor=${encodeURIComponent(pageParam)}`, signal),
    initialPageParam: '',
    getNextPageParam: ({ next }) => next,
  })
}

function DocumentList({ collection, mayWrite }: { readonly collection: string; readonly mayWrite: boolean }) {
  const list = useDocuments(collection)
  const [doomed, setDoomed] = useState<string | null>(null)
  const documents = list.data?.pages.flatMap((page) => page.documents) ?? []
  return (
    <Loaded read={list} what="documents">
      {() => (
        <Panel title="Documents" note={`${formatCount(documents.length)}${list.hasNextPage ? ' shown' : ''}`}>
          {documents.length === 0 ? (
            <EmptyState title="There is no document yet">
              {mayWrite ? 'Drop files, or a folder, onto the panel above.' : 'Your key may read it, not add to it.'}
            </EmptyState>
          ) : (
            <DocumentTable collection={collection} documents={documents} onDelete={mayWrite ? setDoomed : null} />
          )}
          <ShowMore {...list} />
          {doomed === null ? null : <DeleteDocument collection={collection} id={doomed} onClose={() => setDoomed(null)} />}
        </Panel>
      )}
    </Loaded>
  )
}

interface DocumentTableProps {
  readonly collection: string
  readonly documents: readonly StoredDocument[]
  readonly onDelete: ((id: string) => void) | null
}

function DocumentTable({ collection, documents, onDelete }: DocumentTableProps) {
  return (
    <Table
      label="Documents"
      rows={documents}
      rowKey={({ id }) => id}
      columns={[
        { name: 'Document', cell: (document) => <Name collection={collection} document={document} /> },
        {
          name: 'State',
          cell: ({ warnings }) => <StateBadge tone={warnings.length === 0 ? 'ok' : 'warn'}>{stateWord(warnings)}</StateBadge>,
        },
        { name: 'Chunks', number: true, cell: ({ chunks }) => formatCount(chunks) },
        { name: 'Size', number: true, wideOnly: true, cell: ({ sizeBytes }) => formatBytes(sizeBytes) },
        { name: 'Type', wideOnly: true, cell: ({ contentType }) => contentType },
        { name: 'Changed', wideOnly: true, cell: ({ updatedAt }) => formatDateTime(updatedAt) },
        ...(onDelete === null ? [] : [{ name: 'Action', cell: ({ id }: StoredDocument) => <DeleteButton id={id} onDelete={onDelete} /> }]),
      ]}
    />
  )
}

function stateWord(warnings: readonly string[]): string {
  if (warnings.length === 0) return 'searchable'
  return warnings.length === 1 ? '1 warning' : `${warnings.length} warnings`
}

function Name({ collection, document: { id, title } }: { readonly collection: string; readonly document: StoredDocument }) {
  return (
    <>
      <Link to={passageAddress({ collection, document: id })} className="link">
        {title === '' ? id : title}
      </Link>
      {title === id ? null : <span className="block max-w-60 truncate text-xs text-quiet">{id}</span>}
    </>
  )
}

function DeleteButton({ id, onDelete }: { readonly id: string; readonly onDelete: (id: string) => void }) {
  return (
    <button type="button" className="button button-small" aria-label={`Delete ${id}`} onClick={() => onDelete(id)}>
      Delete
    </button>
  )
}

interface DeleteDocumentProps {
  readonly collection: string
  readonly id: string
  readonly onClose: () => void
}

function DeleteDocument({ collection, id, onClose }: DeleteDocumentProps) {
  const client = useQueryClient()
  const deleting = useMutation({
    mutationFn: () => change('DELETE', documentPath(collection, id)),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['documents', collection] })
      await client.invalidateQueries({ queryKey: ['jobs', collection] })
      await client.invalidateQueries({ queryKey: collectionsKey })
      onClose()
    },
  })
  return (
    <Confirm
      title="Delete this document?"
      action="Delete it"
      busy={deleting.isPending}
      onConfirm={() => deleting.mutate()}
      onClose={onClose}
    >
      <p className="wrap-anywhere">
        <strong>{id}</strong> is no longer found; its text, vectors and bytes go, and the kept answers that may quote it.
      </p>
      {deleting.error === null ? null : <ErrorState error={deleting.error} />}
    </Confirm>
  )
}
