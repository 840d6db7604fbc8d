/** The console's start. */
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

import { ApiError, whenSessionEnds } from './api/client.ts'
import { whenLiveBreaks } from './api/live.ts'
import { App } from './app.tsx'
import { ShownLocation } from './router.tsx'
import { sessionKey } from './session.ts'
import { applyTheme, readTheme } from './theme.ts'

applyTheme(readTheme())

/** A refusal is an answer; only what may pass by itself is tried again. */
const canRetry = (tries: number, error: Error): boolean =>
  tries < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500)

const client = new QueryClient({ defaultOptions: { queries: { retry: canRetry, refetchOnWindowFocus: true, staleTime: 5_000 } } })
const lookAtSession = (): void => void client.invalidateQueries({ queryKey: sessionKey })
whenLiveBreaks(lookAtSession)
whenSessionEnds(lookAtSession)

const host = document.getElementById('app')
if (host !== null) {
  createRoot(host).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <ShownLocation>
          <App />
        </ShownLocation>
      </QueryClientProvider>
    </StrictMode>,
  )
}
