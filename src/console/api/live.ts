/**
 * The gateway's push, shared by all that show it. It is stale as soon as the link drops or nothing came for a while; the link is
 * made anew with growing pauses. What was shown last stays in sight, marked with its age.
 */
import { useSyncExternalStore } from 'react'

import type { LiveState, OverviewPoint } from './shapes.ts'

export interface Live {
  readonly link: 'connecting' | 'live' | 'stale'
  /** When the last event came, epoch milliseconds; null before the first. */
  readonly lastAtMs: number | null
  readonly state: LiveState | null
  readonly points: readonly OverviewPoint[]
}

const silentMsMax = 4_000
/** Until the first event: a proxy may hold the answer back for ever, without an error. */
const connectMsMax = 15_000
const pauseMsMin = 1_000
const pauseMsMax = 15_000

const unknown: Live = { link: 'connecting', lastAtMs: null, state: null, points: [] }
let current = unknown
const listeners = new Set<() => void>()
let source: EventSource | null = null
let retry: ReturnType<typeof setTimeout> | undefined
let watch: ReturnType<typeof setTimeout> | undefined
let pauseMs = pauseMsMin
let onTrouble: () => void = () => undefined

/** Tells whoever looks after the session that the link broke: perhaps the session is over. */
export function whenLiveBreaks(action: () => void): void {
  onTrouble = action
}

function set(next: Partial<Live>): void {
  current = { ...current, ...next }
  for (const listener of listeners) listener()
}

function alive(): void {
  clearTimeout(watch)
  watch = setTimeout(broke, silentMsMax)
  pauseMs = pauseMsMin
}

function connect(): void {
  const opened = new EventSource('/admin/live')
  source = opened
  watch = setTimeout(broke, connectMsMax)
  opened.addEventListener('state', ({ data }) => {
    alive()
    set({ link: 'live', lastAtMs: Date.now(), state: JSON.parse(String(data)) })
  })
  opened.addEventListener('series', ({ data }) => {
    const { points }: { points: readonly OverviewPoint[] } = JSON.parse(String(data))
    set({ points })
  })
  opened.addEventListener('renew', () => {
    clearTimeout(watch)
    opened.close()
    connect()
  })
  opened.addEventListener('error', broke)
}

function broke(): void {
  clearTimeout(watch)
  clearTimeout(retry)
  source?.close()
  set({ link: 'stale' })
  onTrouble()
  retry = setTimeout(connect, pauseMs * (0.75 + Math.random() / 2))
  pauseMs = Math.min(pauseMs * 2, pauseMsMax)
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  if (source === null) connect()
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    clearTimeout(watch)
    clearTimeout(retry)
    source?.close()
    source = null
    // Whoever signs in next begins anew: nothing of the one before is shown, nor taken for the present.
    current = unknown
    pauseMs = pauseMsMin
  }
}

/** The present state, for as long as a component shows it. */
export function useLive(): Live {
  return useSyncExternalStore(subscribe, () => current)
}
