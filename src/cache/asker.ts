/** A request with all that the cache knows of it, and what an answer under way needs of the cache that it belongs to. */
import type { Clock } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import type { Answer, InferenceRequest } from '../core/relay.ts'
import type { Directives } from '../wire/cache-directives.ts'
import type { Counters } from './counters.ts'
import type { EntryStore, Found } from './entry-store.ts'
import type { Failures } from './failures.ts'
import type { MemoryItem } from './memory-layer.ts'
import type { CacheOptions } from './options.ts'
import type { Plan, Planner } from './plan.ts'
import type { RouteShape } from './route-shape.ts'
import type { FlightLease } from './second-layer.ts'

export interface Asker {
  readonly request: InferenceRequest
  readonly call: Call
  readonly shape: RouteShape
  readonly plan: Plan
  readonly directives: Directives
  readonly options: CacheOptions
  /** Key of the layers: the plan's key and the form of the answer. */
  readonly slot: string
}

export interface AnswerHost {
  readonly deps: {
    readonly clock: Clock
    readonly store: EntryStore
    readonly planner: Planner
    /** Null: each replica asks upstream itself. */
    readonly lease: FlightLease | null
  }
  readonly counters: Counters
  readonly failures: Failures
  /** A slower layer's entry; null without a promise when none can be asked. Never rejects. */
  find(asker: Asker): Promise<Found | null> | null
  /** Whether an entry may answer, by its age. */
  usable(asker: Asker, item: MemoryItem): boolean
  /** The answer out of an entry. */
  hit(asker: Asker, found: Found): Answer
  /** Nobody joins this one any more. */
  forget(slot: string, shared: object): void
}
