/** The text of a document around a passage, which is marked and scrolled to. Long texts are shown in part, with the way to more of them. */
import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'

import { getText } from '../api/client.ts'
import type { Span } from '../api/rag-shapes.ts'
import { Loaded } from './loaded.tsx'

export interface PassageTextProps {
  readonly collection: string
  readonly document: string
  /** Null: the text from its beginning. */
  readonly passage: Span | null
}

/** Characters before and behind the passage, and of each further piece. */
const pieceCharacters = 20_000

export function documentPath(collection: string, document: string): string {
  return `/rag/collections/${encodeURIComponent(collection)}/documents/${encodeURIComponent(document)}`
}

export function PassageText({ collection, document, passage }: PassageTextProps) {
  const path = `${documentPath(collection, document)}/text`
  const text = useQuery({ queryKey: ['text', collection, document], queryFn: ({ signal }) => getText(path, signal) })
  return (
    <Loaded read={text} what="the text">
      {(whole) => <Around key={`${document} ${passage?.start}`} text={whole} passage={passage} />}
    </Loaded>
  )
}

function Around({ text, passage }: { readonly text: string; readonly passage: Span | null }) {
  const start = Math.min(passage?.start ?? 0, text.length)
  const end = Math.min(Math.max(start, passage?.end ?? 0), text.length)
  const [shown, setShown] = useState({ from: Math.max(0, start - pieceCharacters), to: end + pieceCharacters })
  const mark = useRef<HTMLElement>(null)
  useEffect(() => {
    // Newer browsers give a promise here, which is no way for React to clean up.
    mark.current?.scrollIntoView({ block: 'center' })
  }, [])
  return (
    <div className="max-w-prose px-4 py-3 leading-relaxed wrap-anywhere whitespace-pre-wrap">
      {shown.from === 0 ? null : (
        <button
          type="button"
          className="button button-small mb-3"
          onClick={() => setShown({ ...shown, from: Math.max(0, shown.from - pieceCharacters) })}
        >
          Earlier text
        </button>
      )}
      {text.slice(shown.from, start)}
      {end > start ? <mark ref={mark}>{text.slice(start, end)}</mark> : null}
      {text.slice(end, shown.to)}
      {shown.to >= text.length ? null : (
        <button
          type="button"
          className="button button-small mt-3 flex"
          onClick={() => setShown({ ...shown, to: shown.to + pieceCharacters })}
        >
          Further text
        </button>
      )}
    </div>
  )
}
