/** Text to take along: a button that copies, and a snippet with one. */
import { type MouseEvent, useState } from 'react'

/** Copies as the keyboard does, out of a field beside `button`: a page that came over plain http has no clipboard of its own. */
function copySelected(text: string, button: HTMLElement): boolean {
  const field = document.createElement('textarea')
  field.value = text
  button.before(field)
  field.select()
  const isCopied = document.execCommand('copy')
  field.remove()
  button.focus()
  return isCopied
}

async function copyText(text: string, button: HTMLElement): Promise<boolean> {
  if (!window.isSecureContext) return copySelected(text, button)
  return navigator.clipboard.writeText(text).then(
    () => true,
    () => copySelected(text, button),
  )
}

export function CopyButton({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }) {
  const [shown, setShown] = useState(label)
  const copy = async ({ currentTarget }: MouseEvent<HTMLButtonElement>): Promise<void> => {
    setShown((await copyText(text, currentTarget)) ? 'Copied' : 'Refused: select it and copy')
    setTimeout(() => setShown(label), 2_000)
  }
  return (
    <button type="button" className="button button-small" onClick={(event) => void copy(event)}>
      <span aria-live="polite">{shown}</span>
    </button>
  )
}

export function Snippet({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex items-center justify-between gap-2 text-sm font-medium">
        {title}
        <CopyButton text={text} />
      </figcaption>
      <pre className="overflow-x-auto rounded-md bg-raised px-3 py-2 text-sm" tabIndex={0} role="group" aria-label={title}>
        {text}
      </pre>
    </figure>
  )
}
