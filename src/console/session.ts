/** Who is signed in, and the way out. */
import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'

import { change, getJson, signIn } from './api/client.ts'
import type { Session } from './api/shapes.ts'

export const sessionKey = ['session']

export function useSession() {
  return useQuery({ queryKey: sessionKey, queryFn: ({ signal }) => getJson<Session>('/console/session', signal), staleTime: 60_000 })
}

/** Forgets what was shown to whoever was signed in before. */
function forgetShown(client: QueryClient): void {
  client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionKey[0] })
}

/** Opens a session with a key. */
export function useSignIn() {
  const client = useQueryClient()
  const entered = (): Promise<void> => {
    forgetShown(client)
    return client.invalidateQueries({ queryKey: sessionKey })
  }
  return useMutation({ mutationFn: signIn, onSuccess: entered })
}

/** Ends the session and forgets what it has shown. */
export function useSignOut() {
  const client = useQueryClient()
  const left = (): Promise<void> => {
    forgetShown(client)
    return client.refetchQueries({ queryKey: sessionKey })
  }
  return useMutation({ mutationFn: () => change('DELETE', '/console/session'), onSuccess: left })
}
