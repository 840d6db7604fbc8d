/** The exchanges of a conversation as they grow, with what each took. */
import { useEffect, useRef, useState } from 'react'

import type { Citation, Passage } from '../api/rag-shapes.ts'
import type { ChatWish, Turn } from '../chat-request.ts'
import { type ChatEvent, streamChat } from '../chat-stream.ts'

export interface Exchange {
  readonly id: number
  readonly question: string
  readonly model: string
  readonly state: 'under way' | 'done' | 'stopped' | 'failed'
  readonly text: string
  readonly thinking: string
  readonly sources: readonly Passage[]
  readonly citations: readonly Citation[]
  readonly notes: readonly string[]
  readonly requestId: string
  readonly node: string | null
  readonly cache: string | null
  readonly promptTokens: number | null
  readonly outputTokens: number | null
  readonly firstMs: number | null
  readonly totalMs: number | null
  readonly error: unknown
}

const fresh: Omit<Exchange, 'id' | 'question' | 'model'> = {
  state: 'under way',
  text: '',
  thinking: '',
  sources: [],
  citations: [],
  notes: [],
  requestId: '',
  node: null,
  cache: null,
  promptTokens: null,
  outputTokens: null,
  firstMs: null,
  totalMs: null,
  error: null,
}

/** The exchange after one more event, `atMs` after the question. */
function grown(exchange: Exchange, event: ChatEvent, atMs: number): Exchange {
  switch (event.kind) {
    case 'text':
      return { ...exchange, text: exchange.text + event.text, firstMs: exchange.firstMs ?? atMs }
    case 'thinking':
      return { ...exchange, thinking: exchange.thinking + event.text, firstMs: exchange.firstMs ?? atMs }
    case 'sources':
      return { ...exchange, sources: event.sources }
    case 'citation':
      return { ...exchange, citations: [...exchange.citations, event.citation] }
    case 'note':
      return { ...exchange, notes: [...exchange.notes, event.text] }
    case 'head':
      return { ...exchange, requestId: event.requestId, node: event.node, cache: event.cache }
    case 'usage':
      return { ...exchange, promptTokens: event.promptTokens, outputTokens: event.outputTokens }
  }
}

function turnsOf(exchanges: readonly Exchange[], question: string): Turn[] {
  const before = exchanges
    .filter(({ text }) => text !== '')
    .flatMap(({ question: asked, text }): Turn[] => [
      { role: 'user', content: asked },
      { role: 'assistant', content: text },
    ])
  return [...before, { role: 'user', content: question }]
}

export function useConversation() {
  const [exchanges, setExchanges] = useState<readonly Exchange[]>([])
  const running = useRef<AbortController | null>(null)
  const counter = useRef(0)
  // Who leaves the page ends the generation.
  useEffect(() => () => running.current?.abort(), [])
  const send = async (settings: Omit<ChatWish, 'turns'>, question: string): Promise<void> => {
    const id = (counter.current += 1)
    const startedMs = performance.now()
    const controller = new AbortController()
    running.current = controller
    const turns = turnsOf(exchanges, question)
    const update = (change: (exchange: Exchange) => Exchange): void =>
      setExchanges((all) => all.map((exchange) => (exchange.id === id ? change(exchange) : exchange)))
    const elapsed = (): number => performance.now() - startedMs
    const end = (part: Partial<Exchange>): void => update((exchange) => ({ ...exchange, ...part, totalMs: elapsed() }))
    setExchanges((all) => [...all, { ...fresh, id, question, model: settings.model }])
    try {
      for await (const event of streamChat({ ...settings, turns }, controller.signal)) {
        const atMs = elapsed()
        update((exchange) => grown(exchange, event, atMs))
      }
      end({ state: 'done' })
    } catch (error) {
      end(controller.signal.aborted ? { state: 'stopped' } : { state: 'failed', error })
    }
  }
  return {
    exchanges,
    send,
    stop: () => running.current?.abort(),
    clear: () => setExchanges([]),
    isBusy: exchanges.some(({ state }) => state === 'under way'),
  }
}
