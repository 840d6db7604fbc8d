/** How far files are on their way to the gateway: all together, each that is going out with its bytes and a way to stop it, and what was refused. */
import { formatBytes, formatCount } from '../format.ts'
import { ErrorState } from '../parts/notices.tsx'
import { useNow } from '../parts/now.ts'
import type { Going, Progress } from '../upload-queue.ts'

export interface UploadProgressProps {
  readonly progress: Progress
  readonly onCancel: (id: number) => void
  readonly onCancelAll: () => void
}

/** Refusals with their words. Where a whole folder is refused, as by a gateway that went away, the others say the same. */
const shownRefusalsMax = 20

export function UploadProgress({ progress: { going, refused, pause, ...sums }, onCancel, onCancelAll }: UploadProgressProps) {
  const isBusy = going.length > 0 || pause !== null
  return (
    <div className="flex flex-col gap-3 border-t border-line px-4 py-3">
      {sums.files === 0 ? null : (
        <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
          <div className="min-w-0 grow basis-64">
            <progress value={sums.sentBytes} max={Math.max(1, sums.bytes)} aria-label="Bytes sent" />
            <p className="mt-1 flex flex-wrap gap-x-3 text-sm">
              <span role="status">{wordsOf(sums, refused.length)}</span>
              <span className="text-quiet tabular-nums">
                {formatBytes(sums.sentBytes)} of {formatBytes(sums.bytes)}
              </span>
            </p>
          </div>
          {isBusy ? (
            <button type="button" className="button" onClick={onCancelAll}>
              {sums.files === 1 ? 'Cancel' : 'Cancel all'}
            </button>
          ) : null}
        </div>
      )}
      {pause === null ? null : <Paused {...pause} />}
      {going.length > 0 && sums.files > 1 ? (
        <ul aria-label="Uploads" className="flex flex-col gap-2">
          {going.map((each) => (
            <OneUpload key={each.id} {...each} onCancel={() => onCancel(each.id)} />
          ))}
        </ul>
      ) : null}
      {refused.slice(0, shownRefusalsMax).map(({ path, error }, index) => (
        <div key={`${index} ${path}`}>
          <p className="text-sm font-medium wrap-anywhere">{path}</p>
          <ErrorState error={error} />
        </div>
      ))}
      {refused.length <= shownRefusalsMax ? null : (
        <p className="text-sm text-quiet">And {formatCount(refused.length - shownRefusalsMax)} more.</p>
      )}
    </div>
  )
}

function wordsOf({ files, endedFiles, cancelled }: Pick<Progress, 'files' | 'endedFiles' | 'cancelled'>, refused: number): string {
  const parts = [
    `${formatCount(endedFiles - cancelled)} of ${formatCount(files)} sent`,
    ...(cancelled === 0 ? [] : [`${formatCount(cancelled)} cancelled`]),
    ...(refused === 0 ? [] : [`${formatCount(refused)} refused`]),
  ]
  return parts.join(', ')
}

/** Why nothing goes out, and for how long. The seconds are no news for who has the page read out: they are not in a live region. */
function Paused({ untilMs, error }: NonNullable<Progress['pause']>) {
  const seconds = Math.max(0, Math.ceil((untilMs - useNow(true)) / 1_000))
  return (
    <p className="text-sm wrap-anywhere">
      <span className="tabular-nums">Waiting, {seconds} s</span>
      <span className="text-quiet">: {error instanceof Error ? error.message : String(error)}</span>
    </p>
  )
}

function OneUpload({ path, sentBytes, sizeBytes, onCancel }: Going & { readonly onCancel: () => void }) {
  return (
    <li className="flex items-center gap-3">
      <div className="min-w-0 grow">
        <p className="flex items-baseline justify-between gap-3 text-sm">
          <span className="truncate" title={path}>
            {path}
          </span>
          <span className="text-xs whitespace-nowrap text-quiet tabular-nums">
            {sentBytes < sizeBytes ? `${formatBytes(sentBytes)} of ${formatBytes(sizeBytes)}` : 'sent, being taken in'}
          </span>
        </p>
        <progress className="mt-1" value={sentBytes} max={Math.max(1, sizeBytes)} aria-label={`${path}: bytes sent`} />
      </div>
      <button type="button" className="button button-small" aria-label={`Cancel ${path}`} onClick={onCancel}>
        Cancel
      </button>
    </li>
  )
}
