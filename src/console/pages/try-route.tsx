/** A route to be tried where it is described: what it takes, filled in and sent with the session of the page, the same as curl, and its answer. */
import { type FormEvent, useState } from 'react'

import {
  type BodyKind,
  curlOf,
  exampleOf,
  faultOf,
  fieldOf,
  type Filled,
  headersOf,
  targetOf,
  type TriedParameter,
  type TriedRoute,
} from '../api/tried-request.ts'
import { Snippet } from '../parts/copy.tsx'
import { Confirm } from '../parts/dialog.tsx'
import { CodeArea, Field, Select } from '../parts/field.tsx'
import { usePlace, useSession } from '../session.ts'
import { useCollections } from './collections.ts'
import { useModelsByUse } from './models.ts'
import { TriedAnswerView } from './tried-answer.tsx'
import { useAttempt } from './use-attempt.ts'

export function TryRoute({ route }: { readonly route: TriedRoute }) {
  const { filled, ...form } = useFilled(route)
  const { answer, send, stop } = useAttempt()
  const [isAsking, setIsAsking] = useState(false)
  const isBusy = answer?.state === 'waiting' || answer?.state === 'coming'
  const sendNow = (): void => {
    setIsAsking(false)
    void send(targetOf(route, filled), { method: route.method, headers: headersOf(route, filled), body: bodyOf(filled) })
  }
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    if (route.changes) setIsAsking(true)
    else sendNow()
  }
  const fault = faultOf(filled)
  return (
    <div className="grid items-start gap-x-6 gap-y-4 xl:grid-cols-2 xl:grid-rows-[auto_1fr]">
      <form className="flex min-w-0 flex-col gap-3" aria-label={`Try ${route.method} ${route.path}`} onSubmit={submit}>
        <Parameters parameters={route.parameters} filled={filled} onFill={form.fill} />
        <Body kinds={route.bodies} filled={filled} onKind={form.choose} onText={form.write} onFile={form.give} />
        <div className="flex flex-wrap items-center gap-2">
          <button type="submit" className="button button-strong" disabled={isBusy || fault !== null}>
            Send
          </button>
          {isBusy ? (
            <button type="button" className="button" onClick={stop}>
              Stop
            </button>
          ) : null}
          {form.isOwn && !isBusy ? (
            <button type="button" className="button" onClick={() => form.write(null)}>
              Example again
            </button>
          ) : null}
          <Sender fault={fault} />
        </div>
      </form>
      <div className="min-w-0 self-stretch xl:row-span-2">
        <TriedAnswerView answer={answer} />
      </div>
      <Snippet title="As curl" text={curlOf(route, filled, usePlace())} />
      {isAsking ? (
        <Confirm title={`Send ${route.method}?`} action="Send it" keep="Do not send" onConfirm={sendNow} onClose={() => setIsAsking(false)}>
          <p className="wrap-anywhere">
            <code>
              {route.method} {targetOf(route, filled)}
            </code>
          </p>
          <p className="mt-2">
            This is no rehearsal: what it changes or deletes is changed or deleted here, with the rights of your session.
          </p>
        </Confirm>
      ) : null}
    </div>
  )
}

const emptyValues: Readonly<Record<string, string>> = {}

/** What is filled in; a body is its example until somebody writes another. */
function useFilled({ bodies }: TriedRoute) {
  const scopes = useSession().data?.caller?.scopes ?? []
  const takesJson = bodies.some(({ as }) => as === 'json')
  const models = useModelsByUse({ enabled: takesJson && scopes.includes('models:read') })
  const collections = useCollections({ enabled: takesJson && scopes.includes('rag:read') })
  const [values, setValues] = useState(emptyValues)
  const [kind, setKind] = useState<BodyKind | null>(() => bodies.find(({ as }) => as === 'json') ?? bodies[0] ?? null)
  const [own, setOwn] = useState<string | null>(null)
  const [file, setFile] = useState<File | null>(null)
  const known = {
    talking: models.data?.talking ?? [],
    embedding: models.data?.embedding ?? [],
    collections: collections.data?.map(({ name }) => name) ?? [],
  }
  const filled: Filled = { values, kind, text: own ?? (kind?.as === 'json' ? exampleOf(kind, known) : ''), file }
  return {
    filled,
    isOwn: own !== null,
    fill: (field: string, value: string) => setValues((now) => ({ ...now, [field]: value })),
    choose: (type: string) => setKind(bodies.find((each) => each.type === type) ?? null),
    write: setOwn,
    give: setFile,
  }
}

function bodyOf({ kind, text, file }: Filled): string | Blob | null {
  if (kind === null) return null
  return kind.as === 'json' ? text : file
}

/** With whose rights it goes out, or why it cannot yet. */
function Sender({ fault }: { readonly fault: string | null }) {
  const session = useSession().data
  if (fault !== null) return <p className="min-w-0 text-sm text-warn wrap-anywhere">{fault}</p>
  if (session?.needsKey !== true) return null
  const { subject, method, tenant } = session.caller ?? { subject: null, method: 'session', tenant: '' }
  return (
    <p className="min-w-0 text-xs text-quiet wrap-anywhere">
      with your session: {method} {subject} of {tenant}
    </p>
  )
}

interface ParametersProps {
  readonly parameters: readonly TriedParameter[]
  readonly filled: Filled
  readonly onFill: (field: string, value: string) => void
}

function Parameters({ parameters, filled: { values }, onFill }: ParametersProps) {
  if (parameters.length === 0) return null
  return (
    <div className="grid gap-3 sm:grid-cols-2">
      {parameters.map((parameter) => (
        <Field
          key={fieldOf(parameter)}
          label={parameter.in === 'header' ? `Header ${parameter.name}` : parameter.name}
          required={parameter.in === 'path'}
          value={values[fieldOf(parameter)] ?? ''}
          onChange={({ target }) => onFill(fieldOf(parameter), target.value)}
          hint={parameter.in === 'path' ? 'Part of the path.' : parameter.description}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
        />
      ))}
    </div>
  )
}

interface BodyProps {
  readonly kinds: readonly BodyKind[]
  readonly filled: Filled
  readonly onKind: (type: string) => void
  readonly onText: (text: string) => void
  readonly onFile: (file: File | null) => void
}

const linesMin = 4
const linesMax = 20

function Body({ kinds, filled: { kind, text }, onKind, onText, onFile }: BodyProps) {
  if (kind === null) return null
  return (
    <>
      {kinds.length > 1 ? (
        <Select
          label="Body as"
          value={kind.type}
          options={kinds.map(({ type }) => ({ value: type, text: type }))}
          onChange={({ target }) => onKind(target.value)}
        />
      ) : null}
      {kind.as === 'json' ? (
        <CodeArea
          label="Body"
          rows={Math.min(linesMax, Math.max(linesMin, text.split('\n').length + 1))}
          value={text}
          onChange={({ target }) => onText(target.value)}
        />
      ) : null}
      {kind.as === 'file' ? (
        <Field label="Body" type="file" hint="Sent as it is." onChange={({ target }) => onFile(target.files?.[0] ?? null)} />
      ) : null}
    </>
  )
}
