/** What a page says when it has nothing, is waiting, or failed; each with the next step. */
import type { ReactNode } from 'react'

import { ApiError } from '../api/client.ts'

export function EmptyState({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="px-4 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children === undefined ? null : <div className="mx-auto mt-1 max-w-prose text-quiet">{children}</div>}
    </div>
  )
}

/** For an error of the gateway: its words, its code with the way to the manual, the id to look for in the log. */
export function ErrorState({ error, onRetry }: { readonly error: unknown; readonly onRetry?: () => void }) {
  const known = error instanceof ApiError ? error : null
  return (
    <div role="alert" className="panel border-bad px-4 py-3">
      <p className="font-medium text-bad">{error instanceof Error ? error.message : String(error)}</p>
      {known === null ? null : (
        <p className="mt-1 text-sm text-quiet">
          Code <code className="text-ink">{known.code}</code>
          {known.requestId === null ? null : (
            <>
              {' · request '}
              <code className="break-all text-ink">{known.requestId}</code>
            </>
          )}
          {' · '}
          {adviceFor(known)}
        </p>
      )}
      {onRetry === undefined ? null : (
        <button type="button" className="button button-small mt-2" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  )
}

function adviceFor({ status, code }: ApiError): string {
  if (status === 0) return 'Try again as soon as it runs.'
  if (status === 401) return 'Sign in again.'
  if (status === 403) return 'Your key does not allow this; ask an operator for the scope.'
  if (status === 404 && code === 'route_not_found') return 'This part is switched off in the configuration, or there is no store.'
  if (status >= 500) return 'Look for the request in the log; docs/errors.md says what the code means.'
  return 'docs/errors.md says what the code means.'
}

export function Loading({ what }: { readonly what: string }) {
  return (
    <p role="status" className="px-4 py-10 text-center text-quiet">
      Loading {what}…
    </p>
  )
}
