/** The frame of a page, and of a part of it. */
import { type ReactNode, useEffect } from 'react'

export interface PageProps {
  readonly title: string
  readonly lead?: ReactNode
  readonly actions?: ReactNode
  readonly children: ReactNode
}

export function Page({ title, lead, actions, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Corral`
  }, [title])
  return (
    <>
      <div className="mb-4 flex flex-wrap items-end justify-between gap-x-6 gap-y-2">
        <div className="min-w-0">
          <h1 className="text-xl font-semibold">{title}</h1>
          {lead === undefined ? null : <p className="max-w-prose text-quiet">{lead}</p>}
        </div>
        {actions === undefined ? null : <div className="flex flex-wrap gap-2">{actions}</div>}
      </div>
      <div className="flex flex-col gap-4">{children}</div>
    </>
  )
}

export interface PanelProps {
  readonly title: string
  readonly note?: ReactNode
  readonly actions?: ReactNode
  readonly children: ReactNode
}

export function Panel({ title, note, actions, children }: PanelProps) {
  return (
    <section className="panel min-w-0" aria-label={title}>
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1 border-b border-line px-4 py-2">
        <h2 className="font-semibold">{title}</h2>
        {note === undefined ? null : <div className="grow text-sm text-quiet">{note}</div>}
        {actions}
      </div>
      {children}
    </section>
  )
}
