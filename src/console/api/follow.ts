/**
 * Streams of events from the gateway. One that breaks, or on which nothing comes, is asked for again with growing pauses; one that asks to be
 * renewed, at once. A page that nobody can see follows none: a browser has few connections to one host, and its other pages need them.
 */
import { atGateway } from './place.ts'

export interface Followed {
  readonly path: string
  /** What is done with the data of each event. */
  readonly events: Readonly<Record<string, (data: string) => void>>
  /** A stream on which no event comes for longer is broken. */
  readonly silentMsMax: number
  readonly onBroken: () => void
}

/** Until the first event: a proxy may hold the answer back for ever, without an error. */
const connectMsMax = 15_000
const pauseMsMin = 1_000
/** Also how long a stream must have lasted for the next pause to be short again. */
const pauseMsMax = 15_000

/** Follows until what it returns is called. */
export function follow({ path, events, silentMsMax, onBroken }: Followed): () => void {
  let source: EventSource | null = null
  let silence: ReturnType<typeof setTimeout> | undefined
  let again: ReturnType<typeof setTimeout> | undefined
  let pauseMs = pauseMsMin
  let openedAtMs = 0

  function stop(): void {
    clearTimeout(silence)
    clearTimeout(again)
    source?.close()
    source = null
  }

  function broke(): void {
    stop()
    onBroken()
    if (Date.now() - openedAtMs > pauseMsMax + connectMsMax) pauseMs = pauseMsMin
    again = setTimeout(open, pauseMs * (0.75 + Math.random() / 2))
    pauseMs = Math.min(pauseMs * 2, pauseMsMax)
  }

  function open(): void {
    stop()
    openedAtMs = Date.now()
    const opened = new EventSource(atGateway(path))
    source = opened
    silence = setTimeout(broke, connectMsMax)
    for (const [name, take] of Object.entries(events)) {
      opened.addEventListener(name, ({ data }) => {
        clearTimeout(silence)
        silence = setTimeout(broke, silentMsMax)
        take(String(data))
      })
    }
    opened.addEventListener('renew', () => {
      pauseMs = pauseMsMin
      open()
    })
    opened.addEventListener('error', broke)
  }

  function look(): void {
    if (document.hidden) stop()
    else open()
  }

  document.addEventListener('visibilitychange', look)
  look()
  return () => {
    document.removeEventListener('visibilitychange', look)
    stop()
  }
}
