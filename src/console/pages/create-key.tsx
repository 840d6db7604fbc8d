/** The form that makes a key. */
import { useMutation } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'

import { change } from '../api/client.ts'
import type { Key } from '../api/shapes.ts'
import { useSession } from '../session.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Field, Select, textOf } from '../parts/field.tsx'
import { ErrorState } from '../parts/notices.tsx'

const scopes = [
  ['chat', 'ask models'],
  ['embed', 'make embeddings'],
  ['models:read', 'list models'],
  ['models:write', 'pull, create and delete models'],
  ['rag:read', 'search documents and ask about them'],
  ['rag:write', 'add and remove documents'],
  ['relay', 'routes Corral does not know'],
  ['metrics', 'scrape /metrics'],
  ['admin', 'keys, usage, and in the operator’s tenant everything'],
] as const
const usual = new Set(['chat', 'embed', 'models:read'])

const lives = [
  { value: '90d', text: '90 days' },
  { value: '30d', text: '30 days' },
  { value: '365d', text: 'a year' },
  { value: 'never', text: 'without end' },
]

function wishOf(form: FormData): object {
  const text = (name: string): string => textOf(form, name)
  const models = text('models')
    .split(',')
    .map((model) => model.trim())
    .filter((model) => model !== '')
  const limits = Object.fromEntries(
    ['requestsPerMinute', 'tokensPerMinute', 'concurrency'].flatMap((name) => (text(name) === '' ? [] : [[name, Number(text(name))]])),
  )
  return {
    title: text('title'),
    scopes: form.getAll('scopes'),
    expiresIn: text('expiresIn'),
    limits,
    ...(models.length === 0 ? {} : { models }),
    ...(text('tenant') === '' ? {} : { tenant: text('tenant') }),
  }
}

export function CreateKey({ onClose, onMade }: { readonly onClose: () => void; readonly onMade: (key: Key) => void }) {
  const own = useSession().data?.caller?.scopes ?? []
  // Nobody can give what he does not have.
  const offered = scopes.filter(([scope]) => own.includes(scope))
  const [chosen, setChosen] = useState(offered.filter(([scope]) => usual.has(scope)).length)
  const making = useMutation({ mutationFn: (form: FormData) => change<Key>('POST', '/admin/keys', wishOf(form)), onSuccess: onMade })
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault()
    making.mutate(new FormData(event.currentTarget))
  }
  return (
    <Dialog title="Create a key" onClose={onClose}>
      <form className="flex flex-col gap-4" onSubmit={submit}>
        <Field label="Title" name="title" required maxLength={200} hint="Who or what uses it." />
        <fieldset onChange={(event) => setChosen(event.currentTarget.querySelectorAll(':checked').length)}>
          <legend className="mb-1 text-sm font-medium">What it may do</legend>
          <ul className="grid gap-1 sm:grid-cols-2">
            {offered.map(([scope, meaning]) => (
              <li key={scope}>
                <label className="flex items-baseline gap-2 text-sm">
                  <input type="checkbox" name="scopes" value={scope} defaultChecked={usual.has(scope)} />
                  <span>
                    {scope} <span className="text-xs text-quiet">{meaning}</span>
                  </span>
                </label>
              </li>
            ))}
          </ul>
        </fieldset>
        <div className="grid gap-3 sm:grid-cols-3">
          <Field label="Requests per minute" name="requestsPerMinute" type="number" min={1} />
          <Field label="Tokens per minute" name="tokensPerMinute" type="number" min={1} />
          <Field label="At once" name="concurrency" type="number" min={1} />
        </div>
        <div className="grid gap-3 sm:grid-cols-3">
          <Select label="Ends after" name="expiresIn" options={lives} />
          <Field label="Models" name="models" hint="Empty: all. llama3.2:3b, qwen*" />
          <Field label="Tenant" name="tenant" hint="Empty: your own." />
        </div>
        {making.error === null ? null : <ErrorState error={making.error} />}
        <button type="submit" className="button button-strong self-end" disabled={making.isPending || chosen === 0}>
          Create
        </button>
      </form>
    </Dialog>
  )
}
