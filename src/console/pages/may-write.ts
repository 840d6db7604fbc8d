/** Whether the caller may change documents. The gateway decides; this only hides what it would refuse. */
import { useSession } from '../session.ts'

export function useMayWrite(): boolean {
  return useSession().data?.caller?.scopes.includes('rag:write') ?? false
}
