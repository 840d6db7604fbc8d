/**
 * Giving one document to the gateway: the bytes of a file as they are read, or the address of a page. A gateway that is busy or was away for a moment
 * is asked again, with one idempotency key, so that nothing is taken twice.
 */
import { randomUUID } from 'node:crypto'
import { open } from 'node:fs/promises'

import type { Clock } from '../../base/clock.ts'
import { waitAfter } from '../busy-wait.ts'
import { CliError, exitCodes } from '../exit-code.ts'
import type { Gateway, GatewayRequest } from '../gateway.ts'
import type { GivenSource } from './ingest-sources.ts'
import { asRagError, collectionPath, decodeRag, jobList, type JobView } from './rag-api.ts'

export interface UploadDeps {
  readonly gateway: Gateway
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Bytes of this document that are sent by now. */
  readonly onSent: (sentBytes: number) => void
  /** Why it has to wait; null: it goes on. */
  readonly onWait: (reason: string | null) => void
}

/** A document of this collection, with what is to be sent for it. */
export interface Given {
  readonly collection: string
  readonly document: string
  /** What is sent, anew with each attempt. */
  readonly request: () => GatewayRequest | Promise<GatewayRequest>
}

/** The job of a file or page. Throws what keeps it from being taken: a `GatewayError`, an error of the file, or exit code 3. */
export function uploadSource(collection: string, source: GivenSource, deps: UploadDeps): Promise<JobView> {
  const { document, path, isPage } = source
  const request = () => (isPage === true ? pageRequest(path) : fileRequest(path, deps))
  return upload({ collection, document, request }, deps)
}

/** The job of `given`. */
export async function upload(given: Given, deps: UploadDeps): Promise<JobView> {
  const key = randomUUID()
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await uploadOnce(given, key, deps)
    } catch (error) {
      const waitMs = waitAfter(error, attempt)
      if (waitMs === null || deps.signal.aborted) throw asRagError(error, deps.gateway)
      deps.onWait(`the gateway takes no documents now: ${error instanceof Error ? error.message : String(error)}`)
      await pause(waitMs, deps)
      deps.onWait(null)
    }
  }
}

/** Ends early, and with the reason, when the whole is ended. */
export function pause(waitMs: number, { clock, signal }: Pick<UploadDeps, 'clock' | 'signal'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel()
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)))
    }
    const timer = clock.after(
      waitMs,
      () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      },
      true,
    )
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

async function uploadOnce({ collection, document, request }: Given, key: string, { gateway, signal }: UploadDeps): Promise<JobView> {
  const metadata = JSON.stringify({ path: document })
  const query = new URLSearchParams({ id: document, metadata })
  const wish = await request()
  const response = await gateway.send(`${collectionPath(collection, '/documents')}?${query.toString()}`, {
    ...wish,
    headers: { ...wish.headers, 'idempotency-key': key },
    signal,
  })
  const { jobs } = decodeRag(jobList, await response.json())
  const [job] = jobs
  if (job === undefined) throw new CliError(exitCodes.failure, 'the gateway took a document and made no job of it')
  return job
}

function pageRequest(url: string): GatewayRequest {
  return { method: 'POST', headers: { 'content-type': 'application/vnd.corral.url+json' }, body: JSON.stringify({ url }) }
}

async function fileRequest(path: string, { onSent }: Pick<UploadDeps, 'onSent'>): Promise<GatewayRequest> {
  const type = { 'content-type': 'application/octet-stream' }
  const handle = await open(path)
  const { size } = await handle.stat()
  if (size === 0) {
    await handle.close()
    return { method: 'POST', headers: type, body: '' }
  }
  // A file that grows meanwhile is sent as long as it was, so that the length holds.
  const bytes = handle.createReadStream({ end: size - 1 })
  const headers = { ...type, 'content-length': String(size) }
  return { method: 'POST', headers, duplex: 'half', body: ReadableStream.from(counted(bytes, onSent)) }
}

/** `bytes`, while somebody hears how many there were. */
async function* counted(bytes: AsyncIterable<Uint8Array>, onSent: (sentBytes: number) => void): AsyncGenerator<Uint8Array> {
  let sentBytes = 0
  for await (const part of bytes) {
    yield part
    sentBytes += part.length
    onSent(sentBytes)
  }
}

/** A body of bytes that come from somewhere else. */
export function bytesRequest(bytes: AsyncIterable<Uint8Array>): GatewayRequest {
  return { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, duplex: 'half', body: ReadableStream.from(bytes) }
}
