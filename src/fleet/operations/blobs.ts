/**
 * Blob uploads to every node at once, without buffering: one reader, a stream per node that lacks the blob, paced by the
 * slowest. A blob of many GB costs a few socket buffers. Nodes hash what they get, so nothing is checked here.
 */
import { PassThrough, type Readable } from 'node:stream'

import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Relay, WholeAnswer } from '../../core/relay.ts'
import { scrubMessage } from '../../wire/blame.ts'
import { decodeErrorMessage } from '../../wire/render-error.ts'
import type { FleetNode } from '../node.ts'
import type { FleetOptions } from '../options.ts'
import { TransportError, type WholeResponse } from '../transport.ts'
import { type NodeResult, relayResult, usableNodes, wholeAnswer } from './answers.ts'
import { type BroadcastDeps, sendToAll } from './broadcast.ts'

export interface BlobUpload {
  /** Path of the blob, `/api/blobs/sha256:…`. */
  readonly path: string
  readonly headers: readonly string[]
  readonly source: Readable
}

/** A multi-GB upload may take long; a node that takes no byte stops the whole, so the pause is bounded by the front. */
const uploadMsMax = 24 * 3_600_000

/** `HEAD`: 200 only when every node has the blob, since a create runs on all of them. */
export function createBlobHead(deps: BroadcastDeps): Relay {
  return async (request, call) => {
    const results = await sendToAll(deps, request, usableNodes(deps.nodes(), call.principal.nodeGroup))
    const answer = results.find(({ status }) => status !== 200) ?? results[0]
    if (answer === undefined || answer.failure !== null) {
      throw new CorralError('node_failed', `${answer?.node.name ?? 'no node'}: ${answer?.failure ?? 'no answer'}`)
    }
    return relayResult(call, answer, 'broadcast')
  }
}

/** Sends an upload to the nodes that lack it. Rejects `partial_failure`, `no_node`, `client_gone`. */
export async function uploadBlob(deps: BroadcastDeps, upload: BlobUpload, call: Call): Promise<WholeAnswer> {
  const nodes = usableNodes(deps.nodes(), call.principal.nodeGroup)
  const lacking = await findLacking(deps.options(), upload.path, nodes)
  // Every node has it: answered without reading the body, as a node does (T156).
  if (lacking.length === 0) return wholeAnswer(call, { headers: {}, body: Buffer.alloc(0), reason: 'present' })
  return summarise(call, await fanOut(upload, lacking, call))
}

async function findLacking({ operations }: FleetOptions, path: string, nodes: readonly FleetNode[]): Promise<readonly FleetNode[]> {
  const present = await Promise.all(
    nodes.map(async (node) => {
      const head = node.transport.request({ method: 'HEAD', path, headers: [], body: null }, { timeoutMs: operations.timeoutMs })
      const answer: WholeResponse | null = await head.catch(() => null)
      return answer?.status === 200
    }),
  )
  return nodes.filter((_, index) => present[index] !== true)
}

async function fanOut({ path, headers, source }: BlobUpload, nodes: readonly FleetNode[], call: Call): Promise<readonly NodeResult[]> {
  const sinks = new Map<FleetNode, PassThrough>(nodes.map((node) => [node, new PassThrough({ highWaterMark: 262_144 })]))
  pump(source, sinks)
  call.signal.on(() => {
    for (const sink of sinks.values()) sink.destroy(new Error('the client left'))
  })
  return Promise.all(
    [...sinks].map(async ([node, sink]): Promise<NodeResult> => {
      sink.on('error', () => sinks.delete(node))
      try {
        const response = await node.transport.request(
          { method: 'POST', path, headers: headers.slice(), body: sink },
          { timeoutMs: uploadMsMax },
        )
        return { node, ...response, failure: null }
      } catch (error) {
        if (!(error instanceof TransportError)) throw error
        return { node, status: 0, headers: {}, body: Buffer.alloc(0), failure: error.message }
      } finally {
        sinks.delete(node)
        sink.destroy()
        if (sinks.size === 0) source.resume()
        else source.emit('corral:pace')
      }
    }),
  )
}

/** Copies each chunk into every open sink and reads on when all of them have room. */
function pump(source: Readable, sinks: ReadonlyMap<FleetNode, PassThrough>): void {
  const resumeWhenRoom = (): void => {
    for (const sink of sinks.values()) if (sink.writableNeedDrain) return
    source.resume()
  }
  source.on('corral:pace', resumeWhenRoom)
  for (const sink of sinks.values()) sink.on('drain', resumeWhenRoom)
  source.on('data', (chunk: Buffer) => {
    let full = false
    for (const sink of sinks.values()) if (!sink.write(chunk)) full = true
    if (full) source.pause()
  })
  source.on('end', () => {
    for (const sink of sinks.values()) sink.end()
  })
  source.on('close', () => {
    if (!source.readableEnded) for (const sink of sinks.values()) sink.destroy(new Error('the upload broke off'))
  })
}

function summarise(call: Call, results: readonly NodeResult[]): WholeAnswer {
  const failed = results.filter(({ status }) => status !== 200 && status !== 201)
  const [first] = results
  const [firstFailed] = failed
  if (firstFailed === undefined && first !== undefined) return relayResult(call, first, 'broadcast')
  if (call.signal.aborted) throw new CorralError('client_gone', 'the client left during the upload')
  const allRefused = failed.length === results.length && failed.every(({ status }) => status === 400)
  if (allRefused && firstFailed !== undefined) return relayResult(call, firstFailed, 'broadcast')
  const reasons = failed.map(({ node, failure, body }) => `${node.name}: ${failure ?? scrubMessage(decodeErrorMessage(body))}`)
  throw new CorralError('partial_failure', `the upload failed on ${reasons.join('; ')}; send it again: nodes that have it are skipped`)
}
