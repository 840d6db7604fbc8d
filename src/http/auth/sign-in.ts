/** What signing in to the console stands on, where the installation has a secret. */
import type { Clock } from '../../base/clock.ts'
import type { IssuerOptions } from '../../identity/options.ts'
import { Logins } from './login.ts'
import { Sessions } from './session.ts'

export interface SignIn {
  /** Null: nobody can sign in, or has to. */
  readonly sessions: Sessions | null
  /** Null: not at an issuer either. */
  readonly logins: Logins | null
}

interface SignInDeps {
  /** Undefined: there is none. */
  readonly secret: string | undefined
  readonly clock: Pick<Clock, 'wallMs'>
  readonly enabled: () => boolean
  readonly issuers: readonly IssuerOptions[]
}

export function createSignIn({ secret, clock, enabled, issuers }: SignInDeps): SignIn {
  if (secret === undefined) return { sessions: null, logins: null }
  return { sessions: new Sessions({ secret, clock, enabled }), logins: new Logins(issuers, { secret, clock }) }
}
