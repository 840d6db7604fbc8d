/** Which page stands where, and for whom. A page is loaded when it is opened first. */
import { type ComponentType, lazy, Suspense } from 'react'

import type { Caller } from './api/shapes.ts'
import { FailureBoundary } from './parts/failure-boundary.tsx'
import { Loaded } from './parts/loaded.tsx'
import { Loading } from './parts/notices.tsx'
import { Shell } from './parts/shell.tsx'
import { Link, useLocation } from './router.tsx'
import { useSession } from './session.ts'
import { Overview } from './pages/overview.tsx'
import { SignIn } from './pages/sign-in.tsx'

interface PageEntry {
  readonly path: string
  readonly title: string
  readonly show: ComponentType
  /** Who finds it in the navigation. */
  readonly isFor: (caller: Caller) => boolean
}

const isOperator = ({ operator }: Caller): boolean => operator

const isAdmin = ({ scopes }: Caller): boolean => scopes.includes('admin')

const readsDocuments = ({ scopes }: Caller): boolean => scopes.includes('rag:read')

const mayChat = ({ scopes }: Caller): boolean => scopes.includes('chat')

const pages: readonly PageEntry[] = [
  { path: '', title: 'Overview', show: Overview, isFor: isOperator },
  { path: 'fleet', title: 'Fleet', show: lazy(() => import('./pages/fleet.tsx')), isFor: isOperator },
  { path: 'requests', title: 'Requests', show: lazy(() => import('./pages/requests.tsx')), isFor: isOperator },
  { path: 'history', title: 'History', show: lazy(() => import('./pages/history.tsx')), isFor: isAdmin },
  { path: 'keys', title: 'Keys', show: lazy(() => import('./pages/keys.tsx')), isFor: isAdmin },
  { path: 'usage', title: 'Usage', show: lazy(() => import('./pages/usage.tsx')), isFor: isAdmin },
  { path: 'playground', title: 'Playground', show: lazy(() => import('./pages/playground.tsx')), isFor: mayChat },
  { path: 'search', title: 'Search', show: lazy(() => import('./pages/search.tsx')), isFor: readsDocuments },
  { path: 'documents', title: 'Documents', show: lazy(() => import('./pages/documents.tsx')), isFor: readsDocuments },
  { path: 'settings', title: 'Settings', show: lazy(() => import('./pages/settings.tsx')), isFor: isOperator },
  { path: 'api', title: 'API', show: lazy(() => import('./pages/reference.tsx')), isFor: () => true },
]

export function App() {
  const session = useSession()
  const { path } = useLocation()
  if (session.data === undefined) {
    return (
      <main className="p-4">
        <Loaded read={session} what="the console">
          {() => null}
        </Loaded>
      </main>
    )
  }
  const { caller } = session.data
  if (caller === null) return <SignIn />
  const entries = pages.filter(({ isFor }) => isFor(caller))
  const page = entries.find((entry) => entry.path === path || (entry.path !== '' && path.startsWith(`${entry.path}/`)))
  return (
    <Shell session={session.data} entries={entries}>
      {page === undefined ? (
        <NoPage first={entries[0]?.path ?? null} />
      ) : (
        <FailureBoundary path={path}>
          <Suspense fallback={<Loading what={page.title} />}>
            <page.show />
          </Suspense>
        </FailureBoundary>
      )}
    </Shell>
  )
}

function NoPage({ first }: { readonly first: string | null }) {
  return (
    <>
      <h1 className="text-xl font-semibold">There is no such page for you</h1>
      <p className="mt-1 text-quiet">
        {first === null ? (
          'Your key opens no page of the console. Ask an operator for one with the scope you need.'
        ) : (
          <>
            Perhaps your key does not allow it.{' '}
            <Link to={first} className="link">
              Go to what it does allow.
            </Link>
          </>
        )}
      </p>
    </>
  )
}
