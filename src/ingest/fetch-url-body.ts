/**
 * The body of a fetched document, decoded here and not by the HTTP client: bytes are counted while they inflate, so that a small answer cannot
 * become a large one in memory.
 */
import { type Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'

import { CorralError } from '../core/errors.ts'

export interface BodyLimits {
  readonly bytes: number
  /** Decoded to sent. */
  readonly ratio: number
}

/** A body smaller than this may have any ratio. */
const ratioFreeBytes = 1_000_000

/** All bytes of a body. Throws `document_too_large`, `document_bomb` or `url_failed`. */
export async function readBody(body: Readable, encoding: string, limits: BodyLimits): Promise<Buffer> {
  let sentBytes = 0
  body.on('data', (chunk: Buffer) => {
    sentBytes += chunk.length
  })
  const decoded = decodedBody(body, encoding)
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const part of decoded) {
      if (!Buffer.isBuffer(part)) continue
      bytes += part.length
      if (bytes > limits.bytes) throw new CorralError('document_too_large', `the document is larger than ${limits.bytes} bytes`)
      if (bytes > ratioFreeBytes && bytes > sentBytes * limits.ratio)
        throw new CorralError('document_bomb', `the body unpacks to more than ${limits.ratio} times what was sent`)
      parts.push(part)
    }
  } finally {
    body.destroy()
    decoded.destroy()
  }
  return Buffer.concat(parts)
}

function decodedBody(body: Readable, encoding: string): Readable {
  const decoder = decoderOf(encoding.trim().toLowerCase())
  if (decoder === null) return body
  // `pipe` tells nobody of errors: a body that breaks must break what reads it.
  body.once('error', (error) => decoder.destroy(error))
  return body.pipe(decoder)
}

function decoderOf(encoding: string): ReturnType<typeof createGunzip> | ReturnType<typeof createBrotliDecompress> | null {
  switch (encoding) {
    case '':
    case 'identity':
      return null
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      return createInflate()
    case 'br':
      return createBrotliDecompress()
    default:
      throw new CorralError('url_refused', `the server sent the encoding "${encoding.slice(0, 40)}", which was not asked for`)
  }
}
