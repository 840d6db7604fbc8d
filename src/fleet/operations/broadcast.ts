/**
 * Operations that every holder of a model must do: copy, delete, unload. The answer is one node's where all agree; where
 * some failed it names them, so that nothing looks done that is not.
 */
import { CorralError } from '../../core/errors.ts'
import type { InferenceRequest, Relay, WholeAnswer } from '../../core/relay.ts'
import type { Call } from '../../core/call.ts'
import { canonicalModelName } from '../../wire/model-name.ts'
import { decodeErrorMessage } from '../../wire/render-error.ts'
import { scrubMessage } from '../../wire/blame.ts'
import type { FleetNode } from '../node.ts'
import type { FleetOptions } from '../options.ts'
import type { Prober } from '../probe.ts'
import { TransportError } from '../transport.ts'
import { type NodeResult, relayResult, usableNodes } from './answers.ts'
import { readText } from './request-fields.ts'

export interface BroadcastDeps {
  readonly nodes: () => readonly FleetNode[]
  readonly prober: Prober
  readonly options: () => FleetOptions
}

/** Sends the request to each of `nodes`, which have `timeoutMs` for it; never rejects. */
export async function sendToAll(request: InferenceRequest, nodes: readonly FleetNode[], timeoutMs: number): Promise<readonly NodeResult[]> {
  const { method, target: path, headers, body } = request
  return Promise.all(
    nodes.map(async (node): Promise<NodeResult> => {
      try {
        const response = await node.transport.request(
          { method, path, headers: headers.slice(), body: body.length === 0 ? null : body },
          { timeoutMs },
        )
        return { node, ...response, failure: null }
      } catch (error) {
        if (!(error instanceof TransportError)) throw error
        return { node, status: 0, headers: {}, body: Buffer.alloc(0), failure: error.message }
      }
    }),
  )
}

/** The relay for `/api/copy` and `/api/delete`. */
export function createBroadcast(deps: BroadcastDeps): Relay {
  return async (request, call) => {
    const model = sourceModel(request)
    const usable = usableNodes(deps.nodes(), call.principal.nodeGroup)
    const holders = model === null ? [] : usable.filter((node) => node.models.has(model))
    // Nobody holds it, or the request is malformed: one node gives the exact error.
    const targets = holders.length > 0 ? holders : usable.slice(0, 1)
    const results = await sendToAll(request, targets, deps.options().operations.changeTimeoutMs)
    await Promise.all(targets.map((node) => deps.prober.refreshModels(node)))
    return mergeResults(call, results, request.route.pattern)
  }
}

/** The model that the operation reads: `source` for a copy. */
function sourceModel(request: InferenceRequest): string | null {
  if (request.model !== null) return request.model
  const source = readText(request, 'source')
  return source === null ? null : canonicalModelName(source)
}

/** One answer out of several. A 404 beside successes is a node that did not have it: nothing was left to do there. */
export function mergeResults(call: Call, results: readonly NodeResult[], operation: string): WholeAnswer {
  const done = results.filter(({ status }) => status >= 200 && status < 300)
  const failed = results.filter((result) => !done.includes(result) && (result.status !== 404 || done.length === 0))
  const [firstDone] = done
  const [firstFailed] = failed
  if (firstDone !== undefined && firstFailed === undefined) return relayResult(call, firstDone, 'broadcast')
  if (firstFailed !== undefined && firstDone === undefined && firstFailed.failure === null && sameStatus(failed)) {
    return relayResult(call, firstFailed, 'broadcast')
  }
  throw partialFailure(operation, done, failed)
}

function sameStatus(results: readonly NodeResult[]): boolean {
  return results.every(({ status }) => status === results[0]?.status)
}

function partialFailure(operation: string, done: readonly NodeResult[], failed: readonly NodeResult[]): CorralError {
  const reasons = failed.map(({ node, failure, body }) => `${node.name}: ${failure ?? scrubMessage(decodeErrorMessage(body))}`)
  const succeeded = done.length === 0 ? 'on no node' : `on ${done.map(({ node }) => node.name).join(', ')}`
  return new CorralError('partial_failure', `${operation} succeeded ${succeeded} and failed on ${reasons.join('; ')}; send it again`)
}
