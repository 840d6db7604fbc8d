/**
 * One request that a person sends from the reference, and its answer as it comes. Only the beginning of a long one is kept; bytes that are no
 * text are counted and not kept at all.
 */
import { useEffect, useRef, useState } from 'react'

import { bodyPieces, type BodyPiece } from '../api/body-text.ts'
import { attempt, type Attempt } from '../api/client.ts'

export interface TriedAnswer {
  readonly state: 'waiting' | 'coming' | 'done' | 'stopped' | 'broken'
  /** Null until its head has come. */
  readonly head: AnswerHead | null
  readonly text: string
  readonly bytes: number
  /** Whether there is more than the text. */
  readonly isCut: boolean
  readonly totalMs: number | null
  /** Why none came, or why it broke off. */
  readonly error: unknown
  /** Where it can be fetched once more, as it was asked for; null where that would change something. */
  readonly source: string | null
}

export interface AnswerHead {
  readonly status: number
  readonly headers: Headers
  /** Until the head came. */
  readonly headMs: number
  readonly isText: boolean
}

/** What a person can still look through; more would only make the page slow. */
const keptCharactersMax = 200_000
/** Between two looks at a stream. */
const showEveryMs = 80

const fresh: TriedAnswer = { state: 'waiting', head: null, text: '', bytes: 0, isCut: false, totalMs: null, error: null, source: null }

const textTypes = /^text\/|json|xml|javascript|^application\/x-www-form-urlencoded/

export function useAttempt() {
  const [answer, setAnswer] = useState<TriedAnswer | null>(null)
  const running = useRef<AbortController | null>(null)
  // Who closes the route, or leaves the page, ends the request.
  useEffect(() => () => running.current?.abort(), [])
  const send = async (target: string, request: Omit<Attempt, 'signal'>): Promise<void> => {
    running.current?.abort()
    const controller = new AbortController()
    running.current = controller
    // Of two requests the later one is shown.
    const show = (now: TriedAnswer): void => {
      if (running.current === controller) setAnswer(now)
    }
    await run(target, { ...request, signal: controller.signal }, show)
  }
  return { answer, send, stop: () => running.current?.abort() }
}

async function run(target: string, request: Attempt, show: (answer: TriedAnswer) => void): Promise<void> {
  const startedMs = performance.now()
  let now: TriedAnswer = { ...fresh, source: request.method === 'GET' ? target : null }
  show(now)
  const timer = setInterval(() => show(now), showEveryMs)
  try {
    const response = await attempt(target, request)
    const isText = textTypes.test(response.headers.get('content-type') ?? 'text/plain')
    const head = { status: response.status, headers: response.headers, headMs: performance.now() - startedMs, isText }
    now = { ...now, state: 'coming', head }
    for await (const piece of bodyPieces(response)) now = grown(now, piece, isText)
    now = { ...now, state: 'done' }
  } catch (error) {
    now = request.signal.aborted ? { ...now, state: 'stopped' } : { ...now, state: 'broken', error }
  } finally {
    clearInterval(timer)
    show({ ...now, totalMs: performance.now() - startedMs })
  }
}

function grown(answer: TriedAnswer, { text, bytes }: BodyPiece, isText: boolean): TriedAnswer {
  const all = isText && !answer.isCut ? answer.text + text : answer.text
  return {
    ...answer,
    text: all.slice(0, keptCharactersMax),
    bytes: answer.bytes + bytes,
    isCut: answer.isCut || all.length > keptCharactersMax,
  }
}
