/** The button and the form that make a collection. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { change } from '../api/client.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Field } from '../parts/field.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { navigate } from '../router.tsx'
import { collectionsKey } from './collections.ts'
import { useMayWrite } from './may-write.ts'

export function NewCollection() {
  const [isOpen, setIsOpen] = useState(false)
  if (!useMayWrite()) return null
  return (
    <>
      <button type="button" className="button button-strong" onClick={() => setIsOpen(true)}>
        New collection
      </button>
      {isOpen ? <NewCollectionForm onClose={() => setIsOpen(false)} /> : null}
    </>
  )
}

function NewCollectionForm({ onClose }: { readonly onClose: () => void }) {
  const client = useQueryClient()
  const [name, setName] = useState('')
  const creating = useMutation({
    mutationFn: () => change<object>('POST', '/rag/collections', { name: name.trim() }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: collectionsKey })
      navigate(`documents?in=${encodeURIComponent(name.trim())}`)
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    creating.mutate()
  }
  return (
    <Dialog title="New collection" onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field
          label="Name"
          required
          maxLength={63}
          value={name}
          onChange={({ target }) => setName(target.value)}
          hint="Small letters, digits, dots, dashes or underscores, such as handbook."
        />
        {creating.error === null ? null : <ErrorState error={creating.error} />}
        <button type="submit" className="button button-strong self-end" disabled={creating.isPending || name.trim() === ''}>
          Create
        </button>
      </form>
    </Dialog>
  )
}
