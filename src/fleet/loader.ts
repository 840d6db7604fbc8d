/**
 * Cold loads by the gateway's own request, bound to no client. A client that starts a load and leaves restarts it for all
 * who wait, and one that leaves while it waits leaks a socket in the node (ollama-contract-verified.md §c), so clients wait
 * here and the node sees exactly one request per cold model.
 *
 * The request is an empty one: `/api/generate` without a prompt, or `/api/embed` with no input, with the runner options of
 * the request that needs the model.
 */
import { CallSignal } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import type { RouteFacts } from '../core/route.ts'
import { judgeResponse } from '../wire/blame.ts'
import { routes } from '../wire/routes.ts'
import { modelOn, type Wish } from './wish.ts'
import type { FleetOptions } from './options.ts'
import type { Runner } from './runner.ts'
import { TransportError } from './transport.ts'

export interface LoaderEvents {
  loadStarted(node: string, model: string): void
  loadEnded(node: string, model: string, durationMs: number, error: string | null): void
}

export interface LoaderDeps {
  readonly clock: Clock
  readonly options: () => FleetOptions
  readonly events: LoaderEvents
}

const generateRoute = routeOf('/api/generate')
const embedRoute = routeOf('/api/embed')

/** A failed load keeps its node out of the pool for this long, times the failures in a row. */
const loadBackoffMs = 5_000
const loadBackoffMsMax = 120_000

export class Loader {
  readonly #deps: LoaderDeps

  constructor(deps: LoaderDeps) {
    this.#deps = deps
  }

  /** Loads the runner's model for `wish`. Never rejects: the failure is the result. Must not be called while a load runs. */
  async load(runner: Runner, wish: Wish): Promise<'loaded' | CorralError> {
    const { clock, events } = this.#deps
    const startedAtMs = clock.nowMs()
    runner.load = { fingerprint: wish.runner.fingerprint, startedAtMs, expectedMs: runner.loadMs }
    const signal = new CallSignal()
    runner.loadSignal = signal
    const model = modelOn(runner, wish)
    events.loadStarted(runner.node, model)
    const failure = await this.#request(runner, wish, signal)
    const nowMs = clock.nowMs()
    runner.load = null
    runner.loadSignal = null
    events.loadEnded(runner.node, model, nowMs - startedAtMs, failure?.message ?? null)
    if (failure === null) {
      runner.fingerprint = wish.runner.fingerprint
      runner.lastServedMs = nowMs
      runner.diedAtMs = -Infinity
      runner.loadFailures = 0
      runner.stats.observeLoad(nowMs - startedAtMs)
      runner.lease?.loadEnded(true)
      return 'loaded'
    }
    if (failure.fault === 'node' && !signal.aborted) {
      runner.loadFailures += 1
      runner.loadFailedUntilMs = nowMs + Math.min(loadBackoffMsMax, loadBackoffMs * runner.loadFailures)
      runner.noteFailure(nowMs)
    }
    runner.lease?.loadEnded(false)
    return failure
  }

  async #request(runner: Runner, wish: Wish, signal: CallSignal): Promise<CorralError | null> {
    const embed = wish.runner.operation === 'embed'
    const route = embed ? embedRoute : generateRoute
    const model = modelOn(runner, wish)
    const body = loadBody(model, wish.loadFields, embed)
    try {
      const response = await runner.fleetNode.transport.request(
        { method: 'POST', path: route.pattern, headers: ['content-type', 'application/json'], body },
        { timeoutMs: this.#deps.options().deadlines.loadMsMax, signal },
      )
      if (response.status === 200) return null
      return this.#refusal(runner, route, response.status, response.body.toString())
    } catch (error) {
      if (!(error instanceof TransportError)) throw error
      const code = error.kind === 'timeout' ? 'node_timeout' : 'node_failed'
      return new CorralError(code, `${runner.node}: loading ${model} failed: ${error.message}`, {
        cause: error,
        node: runner.node,
      })
    }
  }

  #refusal(runner: Runner, route: RouteFacts, status: number, text: string): CorralError {
    const judgement = judgeResponse(route, status, text)
    const code = judgement.fault === 'node' || judgement.kind === 'overload' ? 'node_failed' : 'invalid_request'
    return new CorralError(code, `${runner.node}: ${judgement.message}`, { node: runner.node, status })
  }
}

function loadBody(model: string, loadFields: string, embed: boolean): string {
  const name = JSON.stringify(model)
  return embed ? `{"model":${name},"input":[]${loadFields}}` : `{"model":${name},"stream":false${loadFields}}`
}

function routeOf(pattern: string): RouteFacts {
  const route = routes.find((candidate) => candidate.pattern === pattern)
  if (route === undefined) throw new Error(`no route ${pattern}`)
  return route
}
