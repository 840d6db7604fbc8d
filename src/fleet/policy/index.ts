/**
 * The policies an operator can choose from, by the name used in the configuration.
 */
import { expectedCompletion } from './expected-completion.ts'
import { leastLoaded } from './least-loaded.ts'
import type { Policy } from './policy.ts'

export const policies: Readonly<Record<'least-loaded' | 'expected-completion', Policy>> = {
  'least-loaded': leastLoaded,
  'expected-completion': expectedCompletion,
}
