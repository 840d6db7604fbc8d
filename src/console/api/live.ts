/**
 * The gateway's push, shared by all that show it. It is stale as soon as the stream breaks. What was shown last stays in sight, marked with its
 * age.
 */
import { useSyncExternalStore } from 'react'

import type { Dependency } from '../../core/operator-settings.ts'
import { follow } from './follow.ts'
import type { LiveState, OverviewPoint } from './shapes.ts'

export interface Live {
  readonly link: 'connecting' | 'live' | 'stale'
  /** When the last event came, epoch milliseconds; null before the first. */
  readonly lastAtMs: number | null
  readonly state: LiveState | null
  readonly points: readonly OverviewPoint[]
  /** What the gateway stands on, as it was seen within the last ten seconds; null before the first look. */
  readonly dependencies: readonly Dependency[] | null
}

/** A state comes every second. */
const silentMsMax = 4_000

const unknown: Live = { link: 'connecting', lastAtMs: null, state: null, points: [], dependencies: null }
let current = unknown
const listeners = new Set<() => void>()
let leave: (() => void) | null = null
let onTrouble: () => void = () => undefined

/** Tells whoever looks after the session that the link broke: perhaps the session is over. */
export function whenLiveBreaks(action: () => void): void {
  onTrouble = action
}

function set(next: Partial<Live>): void {
  current = { ...current, ...next }
  for (const listener of listeners) listener()
}

function start(): () => void {
  return follow({
    path: '/admin/live',
    silentMsMax,
    events: {
      state: (data) => set({ link: 'live', lastAtMs: Date.now(), state: JSON.parse(data) }),
      series: (data) => {
        const { points }: { points: readonly OverviewPoint[] } = JSON.parse(data)
        set({ points })
      },
      dependencies: (data) => {
        const { dependencies }: { dependencies: readonly Dependency[] } = JSON.parse(data)
        set({ dependencies })
      },
    },
    onBroken: () => {
      set({ link: 'stale' })
      onTrouble()
    },
  })
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  leave ??= start()
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    leave?.()
    leave = null
    // Whoever signs in next begins anew: nothing of the one before is shown, nor taken for the present.
    current = unknown
  }
}

/** The present state, for as long as a component shows it. */
export function useLive(): Live {
  return useSyncExternalStore(subscribe, () => current)
}
