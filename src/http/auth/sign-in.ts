/** What signing in to the console stands on, where the installation has a secret. */
import type { Clock } from '../../base/clock.ts'
import type { IdentityOptions } from '../../identity/options.ts'
import { Logins } from './login.ts'
import { Sessions } from './session.ts'

export interface SignIn {
  /** Null: nobody can sign in, or has to. */
  readonly sessions: Sessions | null
  /** Null: not at an issuer, for no token counts. */
  readonly logins: Logins | null
}

interface SignInDeps {
  /** Undefined: there is none. */
  readonly secret: string | undefined
  readonly clock: Pick<Clock, 'wallMs'>
  readonly enabled: () => boolean
  readonly identity: Pick<IdentityOptions, 'mode' | 'issuers'>
}

export function createSignIn({ secret, clock, enabled, identity: { mode, issuers } }: SignInDeps): SignIn {
  if (secret === undefined) return { sessions: null, logins: null }
  const logins = mode === 'jwt' || mode === 'both' ? new Logins(issuers, { secret, clock }) : null
  return { sessions: new Sessions({ secret, clock, enabled }), logins }
}
