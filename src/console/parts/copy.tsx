/** Text to take along: a button that copies, and a snippet with one. */
import { useState } from 'react'

export function CopyButton({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }) {
  const [done, setDone] = useState(false)
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text)
    setDone(true)
    setTimeout(() => setDone(false), 2_000)
  }
  return (
    <button type="button" className="button button-small" onClick={() => void copy()}>
      <span aria-live="polite">{done ? 'Copied' : label}</span>
    </button>
  )
}

export function Snippet({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex items-center justify-between gap-2 text-sm font-medium">
        {title}
        <CopyButton text={text} label="Copy" />
      </figcaption>
      <pre className="overflow-x-auto rounded-md bg-raised px-3 py-2 text-sm" tabIndex={0} role="group" aria-label={title}>
        {text}
      </pre>
    </figure>
  )
}
