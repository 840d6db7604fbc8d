/** Makes all documents of a collection again, for a new embedder or other settings, after saying what that costs. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'

import { change } from '../api/client.ts'
import { Dialog } from '../parts/dialog.tsx'
import { ErrorState } from '../parts/notices.tsx'

export function ReingestCollection({ name }: { readonly name: string }) {
  const client = useQueryClient()
  const [isAsking, setIsAsking] = useState(false)
  const making = useMutation({
    mutationFn: () => change('POST', `/rag/collections/${encodeURIComponent(name)}/reingest`),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['jobs', name] })
      setIsAsking(false)
    },
  })
  return (
    <>
      <button type="button" className="button" onClick={() => setIsAsking(true)}>
        Ingest again
      </button>
      {isAsking ? (
        <Dialog title={`Ingest ${name} again?`} onClose={() => setIsAsking(false)}>
          <p>
            Every document is read, cut and embedded anew from its bytes, by what the collection is set to now. Until its turn comes each is
            found as it is.
          </p>
          {making.error === null ? null : <ErrorState error={making.error} />}
          <div className="flex justify-end">
            <button type="button" className="button button-strong" onClick={() => making.mutate()} disabled={making.isPending}>
              Ingest all again
            </button>
          </div>
        </Dialog>
      ) : null}
    </>
  )
}
