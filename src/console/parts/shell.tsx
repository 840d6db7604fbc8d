/** What surrounds every page: the way around, how fresh the picture is, the theme, who one is. */
import { type ReactNode, useEffect, useRef, useState } from 'react'

import { useLive } from '../api/live.ts'
import type { Coverage, Session } from '../api/shapes.ts'
import { formatMs } from '../format.ts'
import { Link, useAddress, useLocation } from '../router.tsx'
import { useSignOut } from '../session.ts'
import { applyTheme, readTheme, type Theme, themes } from '../theme.ts'
import { useNow } from './now.ts'
import { StateBadge } from './state-badge.tsx'

export interface NavEntry {
  readonly path: string
  readonly title: string
}

export interface ShellProps {
  readonly session: Session
  readonly entries: readonly NavEntry[]
  readonly children: ReactNode
}

export function Shell({ session, entries, children }: ShellProps) {
  const isChanging = useAddress().path !== useLocation().path
  return (
    <div className="min-h-screen lg:grid lg:grid-cols-[13rem_1fr]">
      <a href="#content" className="button sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-10">
        Skip to content
      </a>
      <header className="flex flex-col gap-3 border-b border-line bg-panel px-4 pt-3 lg:sticky lg:top-0 lg:h-screen lg:border-r lg:border-b-0 lg:py-4">
        <div className="flex items-baseline justify-between gap-2">
          <Link to="" className="text-lg font-semibold">
            Corral
          </Link>
          <span className="text-xs text-quiet">{session.version}</span>
        </div>
        <Navigation entries={entries} />
        <div className="flex flex-wrap items-center gap-2 pb-3 lg:mt-auto lg:flex-col lg:items-stretch lg:pb-0">
          {session.caller?.operator === true ? <LinkState /> : null}
          <ThemeChoice />
          {session.needsKey ? <Who session={session} /> : null}
        </div>
      </header>
      <main
        id="content"
        tabIndex={-1}
        aria-busy={isChanging}
        className="mx-auto w-full max-w-[110rem] min-w-0 px-4 py-5 focus:outline-none lg:px-8"
      >
        {children}
      </main>
    </div>
  )
}

function Navigation({ entries }: { readonly entries: readonly NavEntry[] }) {
  const { path } = useAddress()
  const nav = useRef<HTMLElement>(null)
  // On a narrow screen the row of pages scrolls: the present one is always in sight.
  useEffect(() => {
    nav.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [path])
  return (
    <nav ref={nav} aria-label="Pages" className="-mx-4 overflow-x-auto px-4 lg:-mx-2 lg:px-0">
      <ul className="flex gap-1 pb-1 lg:flex-col">
        {entries.map(({ path: to, title }) => {
          const current = to === path || (to !== '' && path.startsWith(`${to}/`))
          return (
            <li key={to}>
              <Link
                to={to}
                aria-current={current ? 'page' : undefined}
                className={`block rounded-md px-2 py-1 whitespace-nowrap ${current ? 'bg-raised font-semibold' : 'text-quiet hover:text-ink'}`}
              >
                {title}
              </Link>
            </li>
          )
        })}
      </ul>
    </nav>
  )
}

/** Whether what is shown is the present; if not, since when it is not. */
function LinkState() {
  const { link, lastAtMs, state } = useLive()
  const nowMs = useNow(link === 'stale')
  const age = lastAtMs === null ? '' : ` for ${formatMs(Math.max(1_000, nowMs - lastAtMs))}`
  return (
    <div role="status" className="flex">
      {link === 'live' ? <LiveBadge missing={missingOf(state?.coverage)} /> : null}
      {link === 'connecting' ? <StateBadge tone="quiet">Connecting</StateBadge> : null}
      {link === 'stale' ? <StateBadge tone="bad">{`Stale${age}, reconnecting`}</StateBadge> : null}
    </div>
  )
}

function LiveBadge({ missing }: { readonly missing: string | null }) {
  return missing === null ? <StateBadge tone="ok">Live</StateBadge> : <StateBadge tone="warn">{`Live, ${missing}`}</StateBadge>
}

/** What of the gateway is not in the picture; null: nothing. */
function missingOf(coverage: Coverage | undefined): string | null {
  if (coverage === undefined) return null
  if (coverage.redisAway) return 'this replica only: Redis is away'
  return coverage.silent === 0 ? null : `without ${coverage.silent} that did not answer`
}

const themeNames: Readonly<Record<Theme, string>> = { system: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' }

function ThemeChoice() {
  const [theme, setTheme] = useState(readTheme)
  const choose = (next: Theme): void => {
    applyTheme(next)
    setTheme(next)
  }
  return (
    <select
      aria-label="Theme"
      className="rounded-md border border-line bg-panel px-1 py-0.5 text-xs text-quiet"
      value={theme}
      onChange={({ target }) => choose(themes.find((each) => each === target.value) ?? 'system')}
    >
      {themes.map((each) => (
        <option key={each} value={each}>
          {themeNames[each]}
        </option>
      ))}
    </select>
  )
}

function Who({ session: { caller } }: { readonly session: Session }) {
  const signOut = useSignOut()
  return (
    <div className="flex flex-wrap items-center justify-between gap-2 text-xs text-quiet">
      <span className="truncate" title={caller?.subject ?? ''}>
        {caller?.tenant}
      </span>
      <button type="button" className="button button-small" disabled={signOut.isPending} onClick={() => signOut.mutate()}>
        Sign out
      </button>
      {signOut.error === null ? null : (
        <p role="alert" className="w-full text-bad">
          You are still signed in. {signOut.error.message}
        </p>
      )}
    </div>
  )
}
