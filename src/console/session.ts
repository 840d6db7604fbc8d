/** Who is signed in, and the way out. */
import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'

import { change, getJson, signIn } from './api/client.ts'
import { atGateway } from './api/place.ts'
import type { Caller, Session } from './api/shapes.ts'
import type { ShellPlace } from './api/shell.ts'
import { cancelUploads } from './upload-queue.ts'

export const sessionKey = ['session']

export function useSession() {
  return useQuery({ queryKey: sessionKey, queryFn: ({ signal, client }) => readSession(client, signal), staleTime: 60_000 })
}

/** Where a command reaches this gateway from. A key is named unless the gateway has said that it wants none. */
export function usePlace(): ShellPlace {
  return { origin: window.location.origin + atGateway(''), needsKey: useSession().data?.needsKey ?? true }
}

/** A session may have ended, or another begun in another tab. */
async function readSession(client: QueryClient, signal: AbortSignal): Promise<Session> {
  const session = await getJson<Session>('/console/session', signal)
  const before = client.getQueryData<Session>(sessionKey)
  if (before !== undefined && nameOf(before.caller) !== nameOf(session.caller)) cancelUploads()
  return session
}

const nameOf = (caller: Caller | null): string => JSON.stringify([caller?.tenant, caller?.method, caller?.subject])

/** Ends what goes on, and forgets what was shown, for whoever was signed in before. */
function forgetBefore(client: QueryClient): void {
  cancelUploads()
  client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionKey[0] })
}

/** Opens a session with a key. */
export function useSignIn() {
  const client = useQueryClient()
  const entered = (): Promise<void> => {
    forgetBefore(client)
    return client.invalidateQueries({ queryKey: sessionKey })
  }
  // Between the new cookie and its answer nothing may go out either.
  return useMutation({ mutationFn: signIn, onMutate: cancelUploads, onSuccess: entered })
}

/** Ends the session and forgets what it has shown. */
export function useSignOut() {
  const client = useQueryClient()
  const left = (): Promise<void> => {
    forgetBefore(client)
    return client.refetchQueries({ queryKey: sessionKey })
  }
  return useMutation({ mutationFn: () => change('DELETE', '/console/session'), onSuccess: left })
}
