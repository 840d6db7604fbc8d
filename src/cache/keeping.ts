/**
 * Whether what is made from documents (searches, whole answers) may be kept for a request, and found again for it. By the same words as of
 * any answer (`policy.ts`); `auto` keeps, since an equal search is meant to find the same. Age and freshness that a client asks for are not
 * weighed here: who limits them is served anew.
 */
import type { CacheMode } from '../core/principal.ts'
import { directivesOf } from './freshness.ts'
import type { CacheOptions } from './options.ts'
import { chooseMode } from './policy.ts'

interface Keeping {
  readonly keeps: boolean
  readonly reads: boolean
  /** `only-if-cached`: nothing may be made. */
  readonly onlyKept: boolean
}

/** What a client sends, where, and what its credential says. */
interface KeepingWish {
  readonly headers: readonly string[]
  /** Pattern of the route by which the request came. */
  readonly route: string
  readonly credential: CacheMode | null
}

export type KeepingOptions = Pick<CacheOptions, 'enabled' | 'clientControl' | 'mode' | 'routes'>

export function keepingOf({ headers, route, credential }: KeepingWish, options: KeepingOptions): Keeping {
  const said = directivesOf({ headers }, options)
  const mode = chooseMode({ request: said.mode, credential, route: options.routes[route] ?? null, general: options.mode })
  const keeps = options.enabled && mode !== 'off' && !said.noStore
  const reads = keeps && !said.noCache && said.maxAgeSeconds === null && said.minFreshSeconds === null
  return { keeps, reads, onlyKept: said.onlyIfCached }
}
