/**
 * What a route's answers are like, as far as replaying them goes: whether a stream adds up to the whole answer (shown by the
 * golden tests), what an answer's ids look like, where the model and the usage stand in it.
 */
import type { InferenceRequest } from '../core/relay.ts'
import { aggregateAnthropic } from './aggregate-anthropic.ts'
import { aggregateNative } from './aggregate-native.ts'
import { aggregateOpenAiChat } from './aggregate-openai.ts'
import type { PlaceTree } from './answer-places.ts'

export interface RouteShape {
  /** The whole answer out of a stream; null: whole answers and streams are entries of their own. */
  readonly aggregate: ((body: Buffer) => Buffer | null) | null
  /** First letters of ids that a replay makes anew: those of the answer, not those of tool calls, which later turns repeat. */
  readonly idPrefixes: readonly string[]
  /** Where an answer's own ids and times stand, in its one object as in its frames. */
  readonly places: PlaceTree
  /** `frame`: a stream's usage is a frame of its own, and is always asked for · `every`: it changes every frame · `always`: no choice. */
  readonly usage: 'frame' | 'every' | 'always'
  /** Whether the model's name stands once per frame, before anything that a client or a model wrote. */
  readonly modelFirst: boolean
}

const openAi: PlaceTree = { id: 'id', created: 'time' }
const response: PlaceTree = { id: 'id', created_at: 'time', completed_at: 'time', output: { id: 'id' } }

const native: RouteShape = { aggregate: aggregateNative, idPrefixes: [], places: { created_at: 'time' }, usage: 'always', modelFirst: true }

const shapes: Readonly<Record<string, RouteShape>> = {
  '/api/chat': native,
  '/api/generate': native,
  '/v1/chat/completions': {
    aggregate: aggregateOpenAiChat,
    idPrefixes: ['chatcmpl-'],
    places: openAi,
    usage: 'frame',
    modelFirst: true,
  },
  '/v1/completions': { aggregate: null, idPrefixes: ['cmpl-'], places: openAi, usage: 'every', modelFirst: false },
  '/v1/messages': {
    aggregate: aggregateAnthropic,
    idPrefixes: ['msg_'],
    places: { id: 'id', message: { id: 'id' } },
    usage: 'always',
    modelFirst: true,
  },
  '/v1/responses': {
    aggregate: null,
    idPrefixes: ['resp_', 'msg_', 'rs_'],
    places: { ...response, response, item: { id: 'id' }, item_id: 'id' },
    usage: 'always',
    modelFirst: false,
  },
}

/** The shape of a route's answers; undefined for routes that are never cached. */
export function shapeOf(pattern: string): RouteShape | undefined {
  return shapes[pattern]
}

/** Whether the client asks for the usage of a stream. */
export function wantsUsage({ body, envelope }: InferenceRequest): boolean {
  const field = envelope.fields.get('stream_options')
  return field?.kind === 'object' && /"include_usage"\s*:\s*true/.test(body.latin1Slice(field.start, field.end))
}

/** Where the forms of an answer lie: a suffix of the key. */
export function slotOf(shape: RouteShape, request: InferenceRequest): 's' | 'u' | 'w' {
  if (!request.stream) return 'w'
  return shape.usage === 'every' && wantsUsage(request) ? 'u' : 's'
}
