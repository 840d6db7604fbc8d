/** One embedding request on its way through the cache: what it asks for, under which rules, and where the rest of it goes. */
import type { Call } from '../core/call.ts'
import type { InferenceRequest, Relay } from '../core/relay.ts'
import type { Directives } from '../wire/cache-directives.ts'
import type { EmbedAsk } from './embedding-request.ts'
import type { CacheOptions } from './options.ts'
import type { Tags } from './tags.ts'

/** A request with all that is known of it here. */
export interface EmbedAsker {
  readonly next: Relay
  readonly request: InferenceRequest
  readonly call: Call
  readonly ask: EmbedAsk
  readonly tags: Tags
  readonly directives: Directives
  readonly options: CacheOptions
  readonly startedAtMs: number
  /** Whether what is computed now may be found under the keys it was asked for. */
  readonly holds: () => boolean
}
