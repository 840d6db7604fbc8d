/**
 * `/api/blobs/:digest`: an upload is hashed as it arrives and only its digest, size and GGUF facts are kept. A blob that
 * exists is answered without reading.
 */
import { createHash } from 'node:crypto'
import type { Answer } from './answer.ts'
import type { NodeContext } from './context.ts'
import { sendError } from './native-routes.ts'

const keptBytes = 65_536
const digestPattern = /^sha256[:-]([0-9a-f]{64})$/

export function headBlob(context: NodeContext, answer: Answer): void {
  const digest = digestPattern.exec(answer.parameter)?.[1]
  if (digest === undefined) return sendError(answer, 400, 'invalid digest format')
  if (context.store.blobs.has(digest)) return answer.bare(200)
  sendError(answer, 404, `blob "sha256:${digest}" not found`)
}

export function postBlob(context: NodeContext, answer: Answer): void {
  const digest = digestPattern.exec(answer.parameter)?.[1]
  if (digest !== undefined && context.store.blobs.has(digest)) {
    if (answer.request.headers.expect !== undefined) answer.closeAfter()
    else answer.request.resume()
    return answer.whole(200, null, null)
  }
  answer.allowBody()
  if (digest === undefined) {
    answer.request.resume()
    return sendError(answer, 400, 'invalid digest format')
  }
  receive(context, answer, digest)
}

function receive(context: NodeContext, answer: Answer, digest: string): void {
  const hash = createHash('sha256')
  let sizeBytes = 0
  const kept: Buffer[] = []
  answer.request.on('data', (chunk: Buffer) => {
    if (sizeBytes < keptBytes) kept.push(chunk)
    sizeBytes += chunk.length
    hash.update(chunk)
  })
  answer.request.on('end', () => {
    const got = hash.digest('hex')
    if (got !== digest) return sendError(answer, 400, `digest mismatch, expected "sha256:${digest}", got "sha256:${got}"`)
    context.store.blobs.set(digest, { sizeBytes, head: Buffer.concat(kept) })
    answer.whole(201, null, null)
  })
}
