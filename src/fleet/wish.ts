/**
 * From a request to what admission needs of it: the resolved model, the runner options in effect after the `num_ctx`
 * policy, and the estimates that a policy weighs. Where the policy changes a field, only that field's bytes are spliced.
 */
import type { InferenceRequest } from '../core/relay.ts'
import type { RunnerOptions } from '../core/envelope.ts'
import type { Operation, RouteFacts } from '../core/route.ts'
import { noOptions } from '../wire/envelope.ts'
import { isMisfit } from '../wire/misfit.ts'
import { runnerFingerprint } from '../wire/fingerprint.ts'
import type { WeightsBook } from './weights.ts'
import { removeOption, replaceOption } from '../wire/splice.ts'
import { withBody } from '../wire/with-field.ts'
import type { Catalogue, ResolvedModel } from './catalogue.ts'
import { type Build, carriesContext, type NumCtxPolicy } from './num-ctx.ts'
import type { RouteRequest } from './policy/policy.ts'
import type { Runner, RunnerRequest } from './runner.ts'

/** What admission needs to know of a request. */
export interface Wish {
  readonly model: string | null
  /** Whether it takes a slot of the model and has it loaded first; else any node that holds the model is asked at once. */
  readonly needsPlace: boolean
  /** Group of nodes that the caller is held to; null: all nodes. */
  readonly nodeGroup: string | null
  readonly runner: RunnerRequest
  /** Runner options as JSON fields of a load request. */
  readonly loadFields: string
  readonly route: RouteRequest
  readonly conversationKey: string | null
  /** Nodes that failed this request already, by name. */
  readonly tried: Set<string>
  /** Since when the node that was left last for its silence had the request, monotonic ms; null when none was. */
  silentSinceMs: number | null
  /** Whether a node is sure to refuse it before it loads anything: it takes a slot like any other, but nothing is loaded for it first. */
  readonly misfit: boolean
  /** True once a node refused to load this model for a reason of the request's own: it then gets the node's own answer. */
  direct: boolean
  /** Loads that failed while this request waited. */
  loadFailures: number
}

/** Output tokens expected of a request that sets no limit, until the model's mean is learned. */
const outputTokensAssumed = 256

const inference: ReadonlySet<Operation> = new Set(['chat', 'generate', 'embed'])

/** What is asked of a model takes a place in its runner. */
function asksRunner({ operation, placement }: RouteFacts): boolean {
  return inference.has(operation) || (operation === 'other' && placement === 'one')
}

/** What a node that holds the model is asked for at least: a path that only newer nodes may know, which need not load anything. All else any node may answer. */
function asksHolder(route: RouteFacts): boolean {
  return asksRunner(route) || route.placement === 'relay'
}

const noNames: readonly string[] = []

export interface PreparedRequest {
  readonly request: InferenceRequest
  readonly wish: Wish
  /** True when the `num_ctx` policy changed what the client asked for. */
  readonly contextChanged: boolean
}

export interface WishDeps {
  readonly catalogue: Catalogue
  readonly numCtx: NumCtxPolicy
  /** Whether the routing policy weighs which node answered a conversation before. */
  readonly tracksConversations: () => boolean
  readonly weights: Pick<WeightsBook, 'optionsOf' | 'besideOf'>
}

/** Resolves the runner options of `original`. `nodeGroup`: of its caller. */
export function prepareRequest(deps: WishDeps, original: InferenceRequest, nodeGroup: string | null = null): PreparedRequest {
  const resolved = original.model === null ? null : deps.catalogue.resolve(original.model, nodeGroup)
  const misfit = isMisfit(original)
  // The policy remembers models: not those that clients make up. What is to be refused is refused as it came.
  const request = resolved?.known === true && !misfit ? withNumCtx(deps.numCtx, original, resolved) : original
  return { request, wish: toWish(deps, request, { resolved, nodeGroup, misfit }), contextChanged: request !== original }
}

function withNumCtx(numCtx: NumCtxPolicy, request: InferenceRequest, build: Build): InferenceRequest {
  if (!carriesContext(request)) return request
  const requested = request.envelope.runnerOptions.num_ctx
  const decision = numCtx.decide(build, typeof requested === 'number' ? requested : null)
  switch (decision.kind) {
    case 'keep':
      return request
    case 'remove':
      return withBody(request, removeOption(request.body, request.envelope, 'num_ctx'))
    case 'set':
      return withBody(request, replaceOption(request.body, request.envelope, 'num_ctx', String(decision.value)))
  }
}

interface Asker {
  readonly resolved: ResolvedModel | null
  readonly nodeGroup: string | null
  readonly misfit: boolean
}

function toWish(deps: WishDeps, request: InferenceRequest, { resolved, nodeGroup, misfit }: Asker): Wish {
  const { envelope, route } = request
  const options = envelope.runnerOptions
  const embed = route.operation === 'embed'
  return {
    model: asksHolder(route) ? (resolved?.name ?? null) : null,
    needsPlace: asksRunner(route),
    nodeGroup,
    runner: {
      ...inEffect(deps, options, resolved?.digest ?? null),
      operation: embed ? 'embed' : 'other',
    },
    loadFields: options === noOptions ? '' : loadFields(options),
    route: {
      promptTokens: envelope.promptTokens,
      outputTokens: embed ? 0 : (envelope.outputTokensMax ?? outputTokensAssumed),
    },
    conversationKey: deps.tracksConversations() ? envelope.conversationKey : null,
    tried: new Set(request.avoid),
    silentSinceMs: null,
    misfit,
    direct: false,
    loadFailures: 0,
  }
}

/** What a runner runs with for a request: its own options over those of the model's Modelfile, and the files beside the weights. */
function inEffect({ weights }: WishDeps, own: RunnerOptions, digest: string | null): Pick<RunnerRequest, 'fingerprint' | 'contextOnly'> {
  const given = digest === null ? null : weights.optionsOf(digest)
  const beside = digest === null ? '' : weights.besideOf(digest)
  const options = given === null ? own : { ...given, ...own }
  const names = options === noOptions ? noNames : Object.keys(options)
  const text = names.length === 0 ? '' : runnerFingerprint(options)
  if (beside !== '') return { fingerprint: `${text};${beside}`, contextOnly: null }
  return { fingerprint: text, contextOnly: names.length === 1 && typeof options.num_ctx === 'number' ? options.num_ctx : null }
}

/** The name by which a runner is asked for `wish`: names that share weights share it. `*` for an unbounded one. */
export function modelOn(runner: Pick<Runner, 'bounded' | 'model'>, wish: Pick<Wish, 'model'>): string {
  return runner.bounded ? (wish.model ?? runner.model) : runner.model
}

/** The runner options as fields of a load request, each with a comma before it. `shift` is no member of `options`. */
function loadFields({ shift, ...options }: RunnerOptions): string {
  const inOptions = Object.keys(options).length === 0 ? '' : `,"options":${JSON.stringify(options)}`
  return shift === undefined ? inOptions : `${inOptions},"shift":${String(shift)}`
}
