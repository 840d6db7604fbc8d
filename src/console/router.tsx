/** Where one is: the path below `/console/` and its query. The address is the state, so every view can be shared and reloaded. */
import {
  type AnchorHTMLAttributes,
  createContext,
  type MouseEvent,
  type ReactNode,
  useContext,
  useDeferredValue,
  useMemo,
  useSyncExternalStore,
} from 'react'

import { atGateway } from './api/place.ts'

const base = atGateway('/console/')

const listeners = new Set<() => void>()

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  window.addEventListener('popstate', listener)
  return () => {
    listeners.delete(listener)
    window.removeEventListener('popstate', listener)
  }
}

const address = (): string => window.location.pathname + window.location.search

/** Goes to `to`, a path below `/console/` with its query. `replace`: without a step to come back to. */
export function navigate(to: string, replace = false): void {
  window.history[replace ? 'replaceState' : 'pushState'](null, '', base + to)
  for (const listener of listeners) listener()
}

export interface Location {
  /** Below `/console/`, without slashes at its ends. */
  readonly path: string
  readonly query: URLSearchParams
}

/** What the address says now, even where the page of it is still being made. */
export function useAddress(): Location {
  return useParsed(useSyncExternalStore(subscribe, address))
}

function useParsed(whole: string): Location {
  return useMemo(() => {
    const [path = '', query = ''] = whole.split('?')
    return { path: path.slice(base.length).replace(/\/+$/, ''), query: new URLSearchParams(query) }
  }, [whole])
}

const Shown = createContext<Location>({ path: '', query: new URLSearchParams() })

/**
 * Gives those below it the location that is on the screen. To another page it follows as soon as that page is made, in small pieces, so
 * that a click is never kept waiting by what it leads to; within a page it follows at once, as the fields of the page need.
 */
export function ShownLocation({ children }: { readonly children: ReactNode }) {
  const whole = useSyncExternalStore(subscribe, address)
  const deferred = useDeferredValue(whole)
  const isSamePage = whole.split('?')[0] === deferred.split('?')[0]
  const location = useParsed(isSamePage ? whole : deferred)
  return <Shown value={location}>{children}</Shown>
}

/** Where the page on the screen is. */
export function useLocation(): Location {
  return useContext(Shown)
}

/** Changes some parameters of the query; an empty value takes one out. */
export function setQuery(changes: Readonly<Record<string, string>>): void {
  const query = new URLSearchParams(window.location.search)
  for (const [name, value] of Object.entries(changes)) {
    if (value === '') query.delete(name)
    else query.set(name, value)
  }
  const text = query.toString()
  navigate(window.location.pathname.slice(base.length) + (text === '' ? '' : `?${text}`), true)
}

/** Which one of a page's things a path is about, as in `fleet/gpu-1`; empty where it is about all. */
export function nameIn(path: string): string {
  const name = path.split('/')[1] ?? ''
  try {
    return decodeURIComponent(name)
  } catch {
    // A stray % that somebody typed: nothing has this name, and the page says so.
    return name
  }
}

export interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  readonly to: string
}

export function Link({ to, onClick, ...rest }: LinkProps) {
  const follow = (event: MouseEvent<HTMLAnchorElement>): void => {
    onClick?.(event)
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    navigate(to)
    window.scrollTo(0, 0)
  }
  return <a {...rest} href={base + to} onClick={follow} />
}
