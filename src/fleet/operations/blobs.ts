/**
 * Blob uploads to every node at once, without buffering: one reader, a stream per node that lacks the blob, paced by the
 * slowest. A blob of many GB costs a few socket buffers. Nodes hash what they get, so nothing is checked here. A node that stands
 * still is left out after a while: it must not keep the blob from the others.
 */
import type { Readable } from 'node:stream'

import type { Clock, Timer } from '../../base/clock.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Relay, WholeAnswer } from '../../core/relay.ts'
import { scrubMessage } from '../../wire/blame.ts'
import { decodeErrorMessage } from '../../wire/render-error.ts'
import type { FleetNode } from '../node.ts'
import type { FleetOptions } from '../options.ts'
import type { WholeResponse } from '../transport.ts'
import { type NodeResult, relayResult, usableNodes, wholeAnswer } from './answers.ts'
import { BlobPart } from './blob-part.ts'
import { type BroadcastDeps, sendToAll } from './broadcast.ts'

export interface BlobUpload {
  /** Path of the blob, `/api/blobs/sha256:…`. */
  readonly path: string
  readonly headers: readonly string[]
  readonly source: Readable
}

export interface BlobDeps extends Omit<BroadcastDeps, 'prober'> {
  readonly clock: Clock
  /** An upload failed on a node while others have it. */
  readonly onPartFailed: (node: string, reason: string) => void
}

const checkEveryMs = 250

/**
 * `HEAD`: 200 when every node that answers has the blob; whoever asks uploads it else, to those that lack it. One that does not answer keeps
 * nobody from that. Rejects `node_failed` when none answers.
 */
export function createBlobHead(deps: BroadcastDeps): Relay {
  return async (request, call) => {
    const results = await sendToAll(request, usableNodes(deps.nodes(), call.principal.nodeGroup), deps.options().operations.timeoutMs)
    const answers = results.filter(({ failure }) => failure === null)
    const answer = answers.find(({ status }) => status !== 200) ?? answers[0]
    if (answer !== undefined) return relayResult(call, answer, 'broadcast')
    throw new CorralError('node_failed', results.map(({ node, failure }) => `${node.name}: ${failure ?? 'no answer'}`).join('; '))
  }
}

/**
 * Sends an upload to the nodes that lack it. Done when a node has it, since a create goes to those: nodes on which it failed are named
 * in the answer, and reported. Rejects `node_failed` when no node has it, `no_node`, `client_gone`.
 */
export async function uploadBlob(deps: BlobDeps, upload: BlobUpload, call: Call): Promise<WholeAnswer> {
  const nodes = usableNodes(deps.nodes(), call.principal.nodeGroup)
  const lacking = await findLacking(deps.options(), upload.path, nodes)
  // Every node has it: answered without reading the body, as a node does (T156).
  if (lacking.length === 0) return wholeAnswer(call, { headers: {}, body: Buffer.alloc(0), reason: 'present' })
  const results = await fanOut(deps, upload, { nodes: lacking, call })
  return summarise(deps, call, { results, isPresent: lacking.length < nodes.length })
}

async function findLacking({ operations }: FleetOptions, path: string, nodes: readonly FleetNode[]): Promise<readonly FleetNode[]> {
  const present = await Promise.all(nodes.map((node) => hasBlob(node, path, operations.timeoutMs)))
  return nodes.filter((_, index) => present[index] !== true)
}

/** Whether the node says within the time that it has the blob of this path. Never rejects. */
export async function hasBlob({ transport }: FleetNode, path: string, timeoutMs: number): Promise<boolean> {
  const head = transport.request({ method: 'HEAD', path, headers: [], body: null }, { timeoutMs })
  const answer: WholeResponse | null = await head.catch(() => null)
  return answer?.status === 200
}

async function fanOut(
  { clock, options }: BlobDeps,
  { path, headers, source }: BlobUpload,
  { nodes, call }: { readonly nodes: readonly FleetNode[]; readonly call: Call },
): Promise<readonly NodeResult[]> {
  const parts = nodes.map((node) => new BlobPart(node))
  const open = new Set(parts)
  pump(source, open)
  call.signal.on(() => parts.forEach((part) => part.end('the client left')))
  const watch = (): Timer =>
    clock.after(checkEveryMs, () => {
      for (const part of open) part.check(checkEveryMs, options().operations.standstillMsMax)
      timer = watch()
    })
  let timer = watch()
  const send = async (part: BlobPart): Promise<NodeResult> => {
    const result = await part.send(path, headers)
    open.delete(part)
    if (open.size === 0) source.resume()
    else source.emit('corral:pace')
    return result
  }
  try {
    return await Promise.all(parts.map(send))
  } finally {
    timer.cancel()
  }
}

/** Copies each chunk to every open part and reads on when all of them have room. */
function pump(source: Readable, open: ReadonlySet<BlobPart>): void {
  const resumeWhenRoom = (): void => {
    for (const { sink } of open) if (sink.writableNeedDrain) return
    source.resume()
  }
  source.on('corral:pace', resumeWhenRoom)
  for (const { sink } of open) sink.on('drain', resumeWhenRoom)
  source.on('data', (chunk: Buffer) => {
    let full = false
    for (const part of open) if (!part.write(chunk)) full = true
    if (full) source.pause()
  })
  source.on('end', () => {
    for (const { sink } of open) sink.end()
  })
  source.on('close', () => {
    if (!source.readableEnded) for (const part of open) part.end('the upload broke off')
  })
}

/** `isPresent`: some node had it before. */
function summarise(
  { onPartFailed }: BlobDeps,
  call: Call,
  { results, isPresent }: { readonly results: readonly NodeResult[]; readonly isPresent: boolean },
): WholeAnswer {
  if (call.signal.aborted) throw new CorralError('client_gone', 'the client left during the upload')
  const done = results.find(({ status }) => status === 200 || status === 201)
  const failed = results.filter(({ status }) => status !== 200 && status !== 201)
  const [firstFailed] = failed
  const isRefused = failed.length === results.length && failed.every(({ status }) => status === 400)
  if (isRefused && firstFailed !== undefined) return relayResult(call, firstFailed, 'broadcast')
  const reasons = failed.map((result) => ({ node: result.node.name, reason: reasonOf(result) }))
  if (done === undefined && !isPresent) {
    const text = reasons.map(({ node, reason }) => `${node}: ${reason}`).join('; ')
    throw new CorralError('node_failed', `the upload failed on every node (${text})`)
  }
  for (const { node, reason } of reasons) onPartFailed(node, reason)
  const failedNodes = reasons.map(({ node }) => node)
  if (done !== undefined) return withFailedNodes(relayResult(call, done, 'broadcast'), failedNodes)
  return withFailedNodes(wholeAnswer(call, { headers: {}, body: Buffer.alloc(0), reason: 'present' }), failedNodes)
}

function reasonOf({ failure, body }: NodeResult): string {
  return failure ?? scrubMessage(decodeErrorMessage(body))
}

function withFailedNodes(answer: WholeAnswer, failedNodes: readonly string[]): WholeAnswer {
  return failedNodes.length === 0 ? answer : { ...answer, provenance: { ...answer.provenance, failedNodes } }
}
