/**
 * The answer to one key while it is being got: looked up in slower layers, else asked from upstream once, for all who join.
 * At its end it is stored, in the same tick in which it leaves the map of flights, if it is one to keep.
 */
import type { Call } from '../core/call.ts'
import type { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Relay } from '../core/relay.ts'
import { createRenamer } from '../wire/model-in-answer.ts'
import { withField } from '../wire/with-field.ts'
import { type ForwardReason, forwardedHeaders, joinedHeaders } from './answer-headers.ts'
import type { AnswerHost, Asker } from './asker.ts'
import { count } from './counters.ts'
import { encodeEntry, noChunks } from './entry.ts'
import type { Found } from './entry-store.ts'
import { Flight, type FlightEnd, type FlightOwner } from './flight.ts'
import type { JoinView } from './joiner.ts'
import type { Plan } from './plan.ts'
import { findUsageFrame, without } from './restamp.ts'
import { slotOf, wantsUsage } from './route-shape.ts'
import { type Refusal, refusal } from './storable.ts'
import { TurnInLine } from './turn.ts'

/**
 * A client that reads along sees nothing of what another replica gets before all of it is there. Beyond this it has a stream of
 * its own, at the price of a second call; whole answers are there no sooner either way.
 */
const streamWaitMsMax = 30_000

export class SharedAnswer implements FlightOwner {
  readonly #cache: AnswerHost
  /** Who asked first: key, form and options are the same for all who join. */
  readonly #first: Asker
  readonly #flight: Flight
  #looking = false
  #overtakes = false
  #disowned = false
  /** There is an answer already, which is not to be found any more. */
  #replaces = false
  readonly #turn: TurnInLine

  constructor(cache: AnswerHost, first: Asker) {
    this.#cache = cache
    this.#first = first
    this.#turn = new TurnInLine({ ...cache.deps, waitMsMax: first.request.stream ? streamWaitMsMax : null })
    const { graceMs, bytesMax, lagBytesMax } = first.options.flight
    const options = { clock: cache.deps.clock, graceMs, flightBytesMax: bytesMax, queueBytesMax: lagBytesMax }
    this.#flight = new Flight(options, this, withUsage(first))
  }

  get plan(): Plan {
    return this.#first.plan
  }

  /** Gets the answer on behalf of `asker`, its first. `overtakes`: without a turn, which one in a slower line here may have. */
  start(upstream: Relay, asker: Asker, { reason, overtakes }: { reason: ForwardReason; overtakes: boolean }): Promise<Answer> {
    this.#overtakes = overtakes
    this.#replaces = reason !== 'miss'
    const answered = this.#flight.join(asker.call, viewOf(asker, this.#first, { cache: 'miss', reason }))
    const lookup = asker.directives.noCache ? null : this.#cache.find(asker)
    if (lookup === null) this.#fly(upstream, asker.call)
    else void this.#lookThenFly(lookup, upstream, asker)
    return answered
  }

  /** Asks upstream only when no layer has it and, where replicas take turns, when it is our turn. `find` never rejects. */
  async #lookThenFly(lookup: Promise<Found | null>, upstream: Relay, asker: Asker): Promise<void> {
    this.#looking = true
    let found = this.#fitting(await lookup, asker)
    const mayWait = found === null && !this.#flight.over && !this.#overtakes
    if (mayWait && (await this.#turn.take(asker.slot)) && !this.#flight.over) {
      found = this.#fitting(await (this.#cache.find(asker) ?? null), asker)
    }
    this.#looking = false
    if (found === null) this.#fly(upstream, asker.call)
    else this.#land(found, asker)
  }

  #fitting(found: Found | null, asker: Asker): Found | null {
    if (found === null || this.#disowned) return null
    if (this.#cache.usable(asker, found.item)) return found
    this.#replaces = true
    return null
  }

  /** A slower layer had it. */
  #land(found: Found, asker: Asker): void {
    this.#turn.end()
    this.#cache.forget(asker.slot, this)
    this.#flight.fulfil(({ view }) => this.#cache.hit({ ...asker, request: view.request }, found))
  }

  #fly(upstream: Relay, call: Call): void {
    if (this.#flight.over) return
    this.#cache.counters.flights += 1
    this.#cache.counters.misses += 1
    this.#flight.start(upstream, call)
  }

  /** Takes part; null when this asker may not: it bounds an age that a lookup under way may not keep, or would wait behind batch. */
  join(asker: Asker): Promise<Answer> | null {
    if (this.isBehind(asker.call)) return null
    const { maxAgeSeconds, minFreshSeconds } = asker.directives
    if (this.#flight.over || (this.#looking && (maxAgeSeconds !== null || minFreshSeconds !== null))) return null
    this.#cache.counters.joined += 1
    return this.#flight.join(asker.call, viewOf(asker, this.#first, { cache: 'joined', reason: 'miss' }))
  }

  /** Whether it waits for a node in a line that `call` need not stand in. */
  isBehind(call: Call): boolean {
    return this.#flight.queued && this.#first.call.priority === 'batch' && call.priority === 'interactive'
  }

  /** A purge meant it: who waits gets the answer, nobody else ever does. */
  disown(): void {
    this.#disowned = true
  }

  closed(): void {
    this.#cache.forget(this.#first.slot, this)
  }

  ended(_: Flight, end: FlightEnd | null, error: CorralError | null): void {
    const { slot, options } = this.#first
    const { counters, failures } = this.#cache
    if (error?.code === 'client_gone' && end === null) counters.abandoned += 1
    if (error !== null) {
      counters.failures += 1
      failures.add(slot, error, options.flight.failureMs)
    }
    const reason = end === null ? null : this.#keep(end)
    if (reason !== null) count(counters.refusals, reason)
    // An answer that was stored ends the turn when the others can find it.
    if (end === null || reason !== null) this.#turn.end()
    this.#cache.forget(slot, this)
  }

  /** Stores the answer; null when it did, else why not. */
  #keep({ answer, outcome, recording, originMs }: FlightEnd): Refusal | null {
    const { request, plan, slot, options } = this.#first
    const { planner, store, clock } = this.#cache.deps
    const body = answer.kind === 'whole' ? answer.body : (recording?.bytes ?? null)
    if (body === null || body.length > options.entryBytesMax) return 'too-large'
    // A stream's request may be answered by a whole error and the like: what came is what counts.
    if ((answer.kind === 'stream') !== request.stream) return 'status'
    const { outputTokensMax } = request.envelope
    const refused = refusal({ route: request.route, status: answer.status, outcome, body, form: answer.kind, outputTokensMax })
    if (refused !== null) return refused
    if (this.#disowned || !planner.holds(plan, request.model)) return 'purged'
    const entry = encodeEntry({
      form: answer.kind,
      status: answer.status,
      createdAtWallMs: clock.wallMs(),
      originMs,
      usage: outcome.usage,
      frames: outcome.frames,
      contentType: contentTypeOf(answer),
      route: request.route.pattern,
      model: request.envelope.model ?? '',
      body,
      chunks: recording ?? noChunks,
    })
    const replaces = this.#replaces
    store.put(slot, entry, { tags: plan.tags, ttlMs: options.ttlMs.inference, originMs, replaces, onSettled: this.#turn.end })
    if (this.#first.directives.noCache) this.#dropOtherForm()
    return null
  }

  /** A stream and the whole answer that it adds up to are one answer: a new one of the one form makes the other form an old one. */
  #dropOtherForm(): void {
    const { plan, shape, request } = this.#first
    if (shape.aggregate === null) return
    const other = slotOf(shape, { ...request, stream: !request.stream })
    this.#cache.deps.store.delete(plan.key + other, plan.tags)
  }
}

function contentTypeOf({ headers }: Answer): string {
  const type = headers['content-type']
  return typeof type === 'string' ? type : 'application/json'
}

/** The request as it goes upstream: usage is always asked for, so that the entry serves those who want it and those who do not. */
function withUsage({ request, shape }: Asker): InferenceRequest {
  if (!request.stream || shape.usage !== 'frame' || wantsUsage(request)) return request
  return withField(request, 'stream_options', '{"include_usage":true}')
}

interface Part {
  readonly cache: JoinView['cache']
  readonly reason: ForwardReason
}

function viewOf(asker: Asker, first: Asker, { cache, reason }: Part): JoinView {
  return {
    request: asker.request,
    cache,
    headers: cache === 'joined' ? joinedHeaders : forwardedHeaders(reason),
    transform: transformFor(asker, first),
  }
}

/** Usage only where it was asked for, and the model as this asker spelled it. */
function transformFor({ request, shape }: Asker, first: Asker): JoinView['transform'] {
  const trims = request.stream && shape.usage === 'frame' && !wantsUsage(request)
  const from = first.request.envelope.model
  const to = request.envelope.model
  const rename = from !== null && to !== null && from !== to ? createRenamer({ key: 'model', from, to }) : null
  if (!trims) return rename
  return (frames) => {
    const trimmed = without(frames, findUsageFrame(frames))
    return rename === null ? trimmed : rename(trimmed)
  }
}
