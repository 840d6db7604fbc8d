/** A chat with any model of the fleet, with documents or without. Model, collections and parameters are in the address; the talk is not. */
import { type FormEvent, type KeyboardEvent, useState } from 'react'

import type { ChatWish } from '../chat-request.ts'
import { CollectionPicker } from '../parts/collection-picker.tsx'
import { CopyButton, Snippet } from '../parts/copy.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Field, Select } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { EmptyState } from '../parts/notices.tsx'
import { Page, Panel } from '../parts/page.tsx'
import { Link, navigate, setQuery, useLocation } from '../router.tsx'
import { usePlace } from '../session.ts'
import { snippetsFor } from '../snippets.ts'
import { useCollections } from './collections.ts'
import { useModels } from './models.ts'
import { AnswerView } from './playground-answer.tsx'
import { type Exchange, useConversation } from './use-conversation.ts'

type Settings = Omit<ChatWish, 'turns'>

function numberOf(text: string | null): number | null {
  const value = Number(text ?? '')
  return text === null || text === '' || !Number.isFinite(value) ? null : value
}

function readSettings(query: URLSearchParams, models: readonly string[]): Settings {
  return {
    model: query.get('model') ?? models[0] ?? '',
    collections: query.getAll('in'),
    system: query.get('system') ?? '',
    temperature: numberOf(query.get('temperature')),
    outputTokens: numberOf(query.get('tokens')),
  }
}

export default function Playground() {
  const models = useModels()
  const { query } = useLocation()
  return (
    <Page title="Playground" lead="Talk to a model as your programs do, with your documents or without.">
      <Loaded read={models} what="models">
        {(names) => <Talk settings={readSettings(query, names)} models={names} />}
      </Loaded>
    </Page>
  )
}

function Talk({ settings, models }: { readonly settings: Settings; readonly models: readonly string[] }) {
  const { origin } = usePlace()
  if (models.length === 0 && settings.model === '') {
    return (
      <Panel title="No model">
        <EmptyState title="No node has a model">
          Pull one: <code>ollama pull llama3.2:3b</code> with <code>OLLAMA_HOST={origin}</code>.
        </EmptyState>
      </Panel>
    )
  }
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[1fr_22rem]">
      <Conversation settings={settings} />
      <SettingsPanel settings={settings} models={models} />
    </div>
  )
}

function Conversation({ settings }: { readonly settings: Settings }) {
  const { exchanges, send, stop, clear, isBusy } = useConversation()
  const [draft, setDraft] = useState('')
  const [isCopying, setIsCopying] = useState(false)
  const ask = (): void => {
    if (draft.trim() === '' || isBusy) return
    void send(settings, draft.trim())
    setDraft('')
  }
  const question = draft.trim() === '' ? (exchanges.at(-1)?.question ?? 'Why is the sky blue?') : draft.trim()
  return (
    <Panel
      title="Conversation"
      actions={
        <div className="flex gap-2">
          <button type="button" className="button button-small" onClick={() => setIsCopying(true)}>
            Copy as…
          </button>
          <button type="button" className="button button-small" disabled={exchanges.length === 0 || isBusy} onClick={clear}>
            Clear
          </button>
        </div>
      }
    >
      {exchanges.length === 0 ? (
        <EmptyState title={`Ask ${settings.model} something`}>
          {settings.collections.length === 0
            ? 'Choose a collection to be answered from your documents.'
            : `It answers from ${settings.collections.join(', ')}.`}
        </EmptyState>
      ) : (
        <ExchangeList exchanges={exchanges} />
      )}
      <Composer draft={draft} onDraft={setDraft} onAsk={ask} onStop={isBusy ? stop : null} />
      {isCopying ? (
        <CopyAs wish={{ ...settings, turns: [{ role: 'user', content: question }] }} onClose={() => setIsCopying(false)} />
      ) : null}
    </Panel>
  )
}

function ExchangeList({ exchanges }: { readonly exchanges: readonly Exchange[] }) {
  return (
    <ol aria-label="Exchanges">
      {exchanges.map((exchange) => (
        <li key={exchange.id} className="border-b border-line px-4 py-4">
          <p className="mb-3 max-w-prose font-medium wrap-anywhere whitespace-pre-line">{exchange.question}</p>
          <AnswerView exchange={exchange} />
        </li>
      ))}
    </ol>
  )
}

interface ComposerProps {
  readonly draft: string
  readonly onDraft: (draft: string) => void
  readonly onAsk: () => void
  readonly onStop: (() => void) | null
}

function Composer({ draft, onDraft, onAsk, onStop }: ComposerProps) {
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    onAsk()
  }
  const press = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    onAsk()
  }
  return (
    <form className="flex flex-wrap items-end gap-2 p-4" onSubmit={submit}>
      <label className="min-w-0 grow basis-64">
        <span className="mb-1 block text-sm font-medium">Message</span>
        <textarea className="input" rows={3} value={draft} onKeyDown={press} onChange={({ target }) => onDraft(target.value)} />
      </label>
      {onStop === null ? (
        <button type="submit" className="button button-strong" disabled={draft.trim() === ''}>
          Send
        </button>
      ) : (
        <button type="button" className="button button-bad" onClick={onStop}>
          Stop
        </button>
      )}
    </form>
  )
}

function CopyAs({ wish, onClose }: { readonly wish: ChatWish; readonly onClose: () => void }) {
  return (
    <Dialog title="The same request elsewhere" onClose={onClose}>
      {snippetsFor(wish, usePlace()).map(({ name, text }) => (
        <Snippet key={name} title={name} text={text} />
      ))}
      <p className="flex items-center justify-between gap-2 text-sm text-quiet">
        The settings are in the address of this page.
        <CopyButton text={window.location.href} label="Copy the address" />
      </p>
    </Dialog>
  )
}

function SettingsPanel({ settings, models }: { readonly settings: Settings; readonly models: readonly string[] }) {
  const names = models.includes(settings.model) ? models : [settings.model, ...models]
  return (
    <Panel title="Settings">
      <div className="flex flex-col gap-4 p-4">
        <Select
          label="Model"
          options={names.map((name) => ({ value: name, text: name }))}
          value={settings.model}
          onChange={({ target }) => setQuery({ model: target.value })}
        />
        <Sources chosen={settings.collections} />
        <label className="min-w-0">
          <span className="mb-1 block text-sm font-medium">System prompt</span>
          <textarea className="input" rows={4} value={settings.system} onChange={({ target }) => setQuery({ system: target.value })} />
        </label>
        <div className="grid grid-cols-2 gap-4">
          <Field
            label="Temperature"
            type="number"
            min={0}
            max={2}
            step={0.1}
            value={settings.temperature ?? ''}
            onChange={({ target }) => setQuery({ temperature: target.value })}
            hint="Empty: the model's own."
          />
          <Field
            label="Tokens at most"
            type="number"
            min={16}
            step={1}
            value={settings.outputTokens ?? ''}
            onChange={({ target }) => setQuery({ tokens: target.value })}
            hint="Empty: no limit of yours."
          />
        </div>
      </div>
    </Panel>
  )
}

/** Without documents the playground is whole: that they are switched off, or not this key's, is no error here. */
function Sources({ chosen }: { readonly chosen: readonly string[] }) {
  const collections = useCollections()
  if (collections.data === undefined) return null
  if (collections.data.length === 0) {
    return (
      <p className="text-sm text-quiet">
        To be answered from documents,{' '}
        <Link to="documents" className="link">
          create a collection
        </Link>
        .
      </p>
    )
  }
  const choose = (names: readonly string[]): void => {
    const query = new URLSearchParams(window.location.search)
    query.delete('in')
    for (const name of names) query.append('in', name)
    navigate(`playground?${query.toString()}`, true)
  }
  return <CollectionPicker collections={collections.data} chosen={chosen} onChange={choose} />
}
