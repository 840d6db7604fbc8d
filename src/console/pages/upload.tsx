/** The way in: files or a folder, dropped or chosen, or the address of a page. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type DragEvent, type FormEvent, type RefObject, useRef, useState } from 'react'

import { waitMsAfter } from '../../base/busy-wait.ts'
import { ApiError, upload } from '../api/client.ts'
import { formatCount } from '../format.ts'
import { Field } from '../parts/field.tsx'
import { ErrorState } from '../parts/notices.tsx'
import { Panel } from '../parts/page.tsx'
import { type Progress, UploadQueue } from '../upload-queue.ts'
import { chosenFiles, droppedFiles, filesMax, type GivenFile } from './given-files.ts'
import { UploadProgress } from './upload-progress.tsx'

const urlType = 'application/vnd.corral.url+json'

/** Types that would be read as a form are sent as bytes: the gateway looks into the file anyway. */
const typeOf = ({ type }: Blob): string =>
  type === '' || type.startsWith('multipart/') || type === urlType ? 'application/octet-stream' : type

/** A gateway that is busy says when to ask again; one that refuses does not. */
const waitAfter = (error: unknown, attempt: number): number | null =>
  error instanceof ApiError && error.retryAfterMs !== null ? waitMsAfter(error.retryAfterMs, attempt) : null

const clock = {
  nowMs: Date.now,
  after(delayMs: number, action: () => void) {
    const timer = setTimeout(action, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** The uploads of one collection. They go on when the page is left: what was given is to come in. */
function useUploads(collection: string) {
  const client = useQueryClient()
  const [progress, setProgress] = useState<Progress | null>(null)
  const [fault, setFault] = useState<unknown>(null)
  const [queue] = useState(() => {
    const base = `/rag/collections/${encodeURIComponent(collection)}/documents`
    return new UploadQueue({
      upload: ({ path, file }, way) => upload(`${base}?id=${encodeURIComponent(path)}`, file, { type: typeOf(file), ...way }),
      onChange: setProgress,
      onEnded: () => void client.invalidateQueries({ queryKey: ['jobs', collection] }),
      waitAfter,
      clock,
    })
  })
  const send = (files: readonly GivenFile[]): void => {
    const isMany = queue.waiting + files.length > filesMax
    const advice = `At most ${formatCount(filesMax)} files at once. For more: corral ingest --collection ${collection} FOLDER`
    setFault(isMany ? new Error(advice) : null)
    if (files.length > 0 && !isMany) queue.add(files)
  }
  return { progress, fault, send, refuse: setFault, queue }
}

/** For one collection as long as it is shown. */
export function Upload({ collection }: { readonly collection: string }) {
  const { progress, fault, send, refuse, queue } = useUploads(collection)
  const [isOver, setIsOver] = useState(false)
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    setIsOver(false)
    void droppedFiles(event.dataTransfer).then(send, refuse)
  }
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
            <Chooser label="Choose files" onFiles={send} />
            <Chooser label="Choose a folder" isFolder onFiles={send} />
          </div>
        </div>
        <ByUrl collection={collection} />
      </div>
      {fault === null ? null : (
        <div className="border-t border-line px-4 py-3">
          <ErrorState error={fault} />
        </div>
      )}
      {progress === null ? null : (
        <UploadProgress progress={progress} onCancel={(id) => queue.cancel(id)} onCancelAll={() => queue.cancelAll()} />
      )}
    </Panel>
  )
}

interface ChooserProps {
  readonly label: string
  readonly isFolder?: boolean
  readonly onFiles: (files: readonly GivenFile[]) => void
}

function Chooser({ label, isFolder = false, onFiles }: ChooserProps) {
  const input: RefObject<HTMLInputElement | null> = useRef(null)
  const folder = isFolder ? { webkitdirectory: '' } : {}
  return (
    <>
      <button type="button" className="button" onClick={() => input.current?.click()}>
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
          onFiles(files)
        }}
      />
    </>
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
        { type: urlType },
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
