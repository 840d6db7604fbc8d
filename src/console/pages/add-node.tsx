/** The form that adds a node until the next restart. */
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { change } from '../api/client.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Field } from '../parts/field.tsx'
import { ErrorState } from '../parts/notices.tsx'

interface Added {
  readonly name: string
  readonly up: boolean | null
  readonly downReason: string | null
}

export function AddNode({ onClose }: { readonly onClose: () => void }) {
  const [url, setUrl] = useState('')
  const [name, setName] = useState('')
  const adding = useMutation({
    mutationFn: () => change<Added>('POST', '/admin/nodes', { url: url.trim(), ...(name.trim() === '' ? {} : { name: name.trim() }) }),
    onSuccess: onClose,
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    adding.mutate()
  }
  return (
    <Dialog title="Add a node" onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field
          label="URL of the Ollama"
          type="url"
          required
          value={url}
          onChange={({ target }) => setUrl(target.value)}
          hint="As Corral reaches it, such as http://gpu-3:11434."
        />
        <Field label="Name" value={name} onChange={({ target }) => setName(target.value)} hint="Left empty: host and port of the URL." />
        <p className="text-sm text-quiet">It is there until the next restart. To keep it, add it to the configuration too.</p>
        {adding.error === null ? null : <ErrorState error={adding.error} />}
        <button type="submit" className="button button-strong self-end" disabled={adding.isPending}>
          Add
        </button>
      </form>
    </Dialog>
  )
}
