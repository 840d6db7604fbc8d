/** Text with places in it marked. Offsets are UTF-16 code units of the text, as the gateway counts them. */
import type { ReactNode } from 'react'

import type { Span } from '../api/rag-shapes.ts'

/** `spans` in order; one that overlaps the one before is cut to what is left of it. */
export function MarkedText({ text, spans }: { readonly text: string; readonly spans: readonly Span[] }) {
  const parts: ReactNode[] = []
  let at = 0
  for (const { start, end } of spans) {
    const from = Math.max(start, at)
    if (end <= from) continue
    parts.push(text.slice(at, from), <mark key={from}>{text.slice(from, end)}</mark>)
    at = end
  }
  return (
    <>
      {parts}
      {text.slice(at)}
    </>
  )
}
