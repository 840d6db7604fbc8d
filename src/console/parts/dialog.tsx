/** A question in front of the page: the browser's own dialog, which keeps the focus inside and gives it back. */
import { type ReactNode, useEffect, useId, useRef } from 'react'

export interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly children: ReactNode
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  useEffect(() => {
    const dialog = element.current
    dialog?.showModal()
    return () => dialog?.close()
  }, [])
  return (
    <dialog ref={element} aria-labelledby={titleId} onCancel={onClose} className="panel w-[min(34rem,calc(100vw-2rem))] p-0 shadow-lg">
      <div className="flex items-center justify-between gap-4 border-b border-line px-4 py-3">
        <h2 id={titleId} className="text-lg font-semibold">
          {title}
        </h2>
        <button type="button" className="button button-small" onClick={onClose}>
          Close
        </button>
      </div>
      <div className="flex flex-col gap-4 p-4">{children}</div>
    </dialog>
  )
}

export interface ConfirmProps {
  readonly title: string
  readonly action: string
  /** What the other button says. */
  readonly keep?: string
  readonly onConfirm: () => void
  readonly onClose: () => void
  readonly busy?: boolean
  readonly children: ReactNode
}

/** Asks once more before a change. */
export function Confirm({ title, action, keep = 'Keep it', onConfirm, onClose, busy = false, children }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div>{children}</div>
      <div className="flex justify-end gap-2">
        <button type="button" className="button" onClick={onClose}>
          {keep}
        </button>
        <button type="button" className="button button-bad" onClick={onConfirm} disabled={busy}>
          {action}
        </button>
      </div>
    </Dialog>
  )
}
