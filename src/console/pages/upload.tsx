/** The way in: files or a folder, dropped or chosen, or the address of a page. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type DragEvent, type FormEvent, type RefObject, useRef, useState } from 'react'

import { upload } from '../api/client.ts'
import { formatCount } from '../format.ts'
import { Field } from '../parts/field.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { Panel } from '../parts/page.tsx'
import { chosenFiles, droppedFiles, filesMax, type GivenFile } from './given-files.ts'

const urlType = 'application/vnd.corral.url+json'
/** Files on their way at once. */
const atOnceMax = 3

interface Sending {
  readonly sent: number
  readonly total: number
  readonly refused: readonly { readonly path: string; readonly error: unknown }[]
}

/** Types that would be read as a form are sent as bytes: the gateway looks into the file anyway. */
const typeOf = ({ type }: File): string =>
  type === '' || type.startsWith('multipart/') || type === urlType ? 'application/octet-stream' : type

/** Sends files, a few at a time; one that is refused does not stop the others. */
function useSending(collection: string) {
  const client = useQueryClient()
  const [sending, setSending] = useState<Sending | null>(null)
  const base = `/rag/collections/${encodeURIComponent(collection)}/documents`
  const refuse = (error: unknown): void => setSending({ sent: 0, total: 0, refused: [{ path: '', error }] })
  const send = async (files: readonly GivenFile[]): Promise<void> => {
    if (files.length === 0) return
    if (files.length > filesMax) {
      const error = new Error(`At most ${formatCount(filesMax)} files at once. For more: corral ingest --collection ${collection} FOLDER`)
      return refuse(error)
    }
    setSending({ sent: 0, total: files.length, refused: [] })
    const waiting = [...files]
    const sendNext = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const { path, file } = next
        const refusal = await upload(`${base}?id=${encodeURIComponent(path)}`, file, typeOf(file)).then(
          () => [],
          (error: unknown) => [{ path, error }],
        )
        setSending((now) => (now === null ? now : { ...now, sent: now.sent + 1, refused: [...now.refused, ...refusal] }))
        void client.invalidateQueries({ queryKey: ['jobs', collection] })
      }
    }
    await Promise.all(Array.from({ length: atOnceMax }, sendNext))
  }
  return { sending, send, refuse }
}

export function Upload({ collection }: { readonly collection: string }) {
  const { sending, send, refuse } = useSending(collection)
  const [isOver, setIsOver] = useState(false)
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    setIsOver(false)
    void droppedFiles(event.dataTransfer).then(send, refuse)
  }
  const isBusy = sending !== null && sending.sent < sending.total
  return (
    <Panel title="Add documents">
      <div
        className={`grid gap-6 p-4 lg:grid-cols-2 ${isOver ? 'bg-raised' : ''}`}
        onDragOver={(event) => {
          event.preventDefault()
          setIsOver(true)
        }}
        onDragLeave={() => setIsOver(false)}
        onDrop={drop}
      >
        <div className="flex flex-col items-start justify-center gap-3 rounded-lg border border-dashed border-quiet p-4">
          <p>
            <strong>Drop files or a folder here.</strong>{' '}
            <span className="text-quiet">
              Markdown, HTML, PDF, office files, e-mail, CSV, JSON, code and text. The same name again is a new revision.
            </span>
          </p>
          <div className="flex flex-wrap gap-2">
            <Chooser label="Choose files" onFiles={send} disabled={isBusy} />
            <Chooser label="Choose a folder" isFolder onFiles={send} disabled={isBusy} />
          </div>
        </div>
        <ByUrl collection={collection} />
      </div>
      {sending === null ? null : <Progress {...sending} />}
    </Panel>
  )
}

interface ChooserProps {
  readonly label: string
  readonly isFolder?: boolean
  readonly disabled: boolean
  readonly onFiles: (files: readonly GivenFile[]) => Promise<void>
}

function Chooser({ label, isFolder = false, disabled, onFiles }: ChooserProps) {
  const input: RefObject<HTMLInputElement | null> = useRef(null)
  const folder = isFolder ? { webkitdirectory: '' } : {}
  return (
    <>
      <button type="button" className="button" disabled={disabled} onClick={() => input.current?.click()}>
        {label}
      </button>
      <input
        {...folder}
        ref={input}
        type="file"
        multiple
        hidden
        aria-label={label}
        onChange={({ target }) => {
          const files = chosenFiles(target.files)
          // The same file can be chosen again.
          target.value = ''
          void onFiles(files)
        }}
      />
    </>
  )
}

function Progress({ sent, total, refused }: Sending) {
  return (
    <div className="flex flex-col gap-2 border-t border-line px-4 py-3">
      {total === 0 ? null : (
        <>
          <progress value={sent} max={total} aria-label="Files sent" />
          <p role="status" className="text-sm">
            {formatCount(sent)} of {formatCount(total)} sent{refused.length === 0 ? '' : `, ${formatCount(refused.length)} refused`}
          </p>
        </>
      )}
      {refused.map(({ path, error }) => (
        <div key={path}>
          {path === '' ? null : <p className="text-sm font-medium wrap-anywhere">{path}</p>}
          <ErrorState error={error} />
        </div>
      ))}
    </div>
  )
}

function ByUrl({ collection }: { readonly collection: string }) {
  const client = useQueryClient()
  const [url, setUrl] = useState('')
  const adding = useMutation({
    mutationFn: () =>
      upload(
        `/rag/collections/${encodeURIComponent(collection)}/documents`,
        new Blob([JSON.stringify({ url: url.trim() })], { type: urlType }),
        urlType,
      ),
    onSuccess: async () => {
      setUrl('')
      await client.invalidateQueries({ queryKey: ['jobs', collection] })
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    adding.mutate()
  }
  return (
    <form className="flex flex-col justify-center gap-3" onSubmit={submit}>
      <Field
        label="Or the URL of a page"
        type="url"
        required
        value={url}
        onChange={({ target }) => setUrl(target.value)}
        hint="The gateway fetches it, from public addresses only."
      />
      <button type="submit" className="button self-start" disabled={adding.isPending}>
        Add the page
      </button>
      {adding.error === null ? null : <ErrorState error={adding.error} />}
    </form>
  )
}
