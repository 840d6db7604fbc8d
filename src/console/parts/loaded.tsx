/**
 * A read of the gateway as one sees it: the data; above it, where reading has failed, why, with the way to try again; and until either that
 * it loads. What was there before a read that failed stays.
 */
import type { ReactNode } from 'react'

import { ErrorState, Loading } from './notices.tsx'

export interface LoadedProps<T> {
  readonly read: { readonly data: T | undefined; readonly error: Error | null; readonly refetch: () => Promise<unknown> }
  /** What is read, as in "Loading keys…". */
  readonly what: string
  readonly children: (data: T) => ReactNode
}

export function Loaded<T>({ read: { data, error, refetch }, what, children }: LoadedProps<T>) {
  return (
    <>
      {error === null ? null : <ErrorState error={error} onRetry={() => void refetch()} />}
      {data === undefined && error === null ? <Loading what={what} /> : null}
      {data === undefined ? null : children(data)}
    </>
  )
}
