/**
 * Files in a request, one after another as they arrive: nothing is held in memory but a piece of one. A multipart body may carry many files,
 * after fields that hold for all of them; any other body is one file.
 */
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy'
import type { IncomingMessage } from 'node:http'

import { CorralError } from '../../core/errors.ts'

export interface UploadedFile {
  /** As the client calls it, without folders; '' when it says none. */
  readonly name: string
  /** The same with the folders below the one that the client gives. */
  readonly path: string
  readonly declaredType: string | null
  /** Fields that stood before it. */
  readonly fields: ReadonlyMap<string, string>
  /** To be read before the next file is asked for. */
  readonly bytes: AsyncIterable<Uint8Array>
}

export const filesMax = 100
const fieldsMax = 32
const fieldBytesMax = 65_536
const nameCharsMax = 255

/** The files of `incoming`. Throws `invalid_request` for a broken multipart body, `client_gone` when the client leaves. */
export async function* uploadedFiles(incoming: IncomingMessage): AsyncGenerator<UploadedFile> {
  const type = incoming.headers['content-type'] ?? ''
  if (/^multipart\//i.test(type)) {
    yield* multipart(incoming)
    return
  }
  const declaredType = type.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  yield { name: '', path: '', declaredType: declaredType === '' ? null : declaredType, fields: new Map(), bytes: whole(incoming) }
}

async function* whole(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    const chunks = incoming.iterator({ destroyOnReturn: false })
    for await (const chunk of chunks) if (chunk instanceof Uint8Array) yield chunk
  } catch (cause) {
    throw gone(cause)
  }
  if (!incoming.complete) throw gone(null)
}

function gone(cause: unknown): CorralError {
  return new CorralError('client_gone', 'the client left during the upload', { cause })
}

interface Part {
  readonly fields: ReadonlyMap<string, string>
  readonly name: string
  readonly path: string
  readonly declaredType: string | null
  readonly stream: BusboyFileStream
}

async function* multipart(incoming: IncomingMessage): AsyncGenerator<UploadedFile> {
  const fields = new Map<string, string>()
  const parts: Part[] = []
  let current: Part | null = null
  let ended: { readonly error: CorralError | null } | null = null
  let wake = (): void => undefined
  const end = (error: CorralError | null): void => {
    ended ??= { error }
    if (error !== null) for (const part of [current, ...parts]) part?.stream.destroy(error)
    wake()
  }
  const parser = parserOf(incoming)
  parser.on('field', (...[name, value, , isCut]) => {
    if (isCut) end(new CorralError('body_too_large', `the field ${name.slice(0, 80)} is over ${fieldBytesMax} bytes`))
    fields.set(name, value)
  })
  parser.on('file', (...[, stream, filename, , declaredType]) => {
    // What it fails with is thrown by whoever reads it.
    stream.on('error', () => undefined)
    // The parser runs ahead of the reader: fields that come later are not this file's.
    const name = filename ?? ''
    parts.push({ fields: new Map(fields), name: baseName(name), path: relativePath(name), declaredType, stream })
    wake()
  })
  parser.on('filesLimit', () => end(new CorralError('invalid_request', `a request carries at most ${filesMax} files`)))
  parser.on('fieldsLimit', () => end(new CorralError('invalid_request', `a request carries at most ${fieldsMax} fields`)))
  parser.on('error', (cause) => end(new CorralError('invalid_request', 'the multipart body is broken', { cause })))
  parser.on('finish', () => end(null))
  incoming.on('close', () => {
    if (!incoming.complete) end(gone(null))
  })
  incoming.pipe(parser)
  try {
    for (;;) {
      current = parts.shift() ?? null
      if (current !== null) {
        const { fields: before, name, path, declaredType, stream } = current
        yield { name, path, declaredType, fields: before, bytes: partBytes(stream, () => ended?.error ?? null) }
        // Left unread by its reader, it would hold up those behind it.
        stream.resume()
      } else if (ended !== null) {
        throwIf(ended)
        return
      } else await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    incoming.unpipe(parser)
    parser.destroy()
  }
}

function throwIf({ error }: { readonly error: CorralError | null }): void {
  if (error !== null) throw error
}

function parserOf(incoming: IncomingMessage): BusboyInstance {
  const limits = { files: filesMax, fields: fieldsMax, fieldSize: fieldBytesMax, fieldNameSize: 100, headerPairs: 32 }
  try {
    const type = incoming.headers['content-type'] ?? ''
    return new Busboy({ headers: { ...incoming.headers, 'content-type': type }, limits, preservePath: true, isPartAFile })
  } catch (cause) {
    throw new CorralError('invalid_request', 'the content type multipart/form-data needs a boundary', { cause })
  }
}

/** Parts in a part (RFC 7578, 4.3) would be lost as a field that nobody reads: as a file they are a document that is refused with the reason. */
function isPartAFile(_field: string | undefined, type: string | undefined, filename: string | undefined): boolean {
  return filename !== undefined || type === 'application/octet-stream' || type?.startsWith('multipart/') === true
}

async function* partBytes(stream: BusboyFileStream, failure: () => CorralError | null): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of stream) if (chunk instanceof Uint8Array) yield chunk
  } catch (cause) {
    throw failure() ?? new CorralError('invalid_request', 'the multipart body is broken', { cause })
  }
  // A body that ends inside of a file ends the file's stream as if all were well.
  const error = failure()
  if (error !== null) throw error
}

const pathCharsMax = 512

/** A path below some folder, with `/` between its segments; of one that begins at a root, or leaves its folder, the last segment alone. */
function relativePath(name: string): string {
  const segments = name.split(/[/\\]/).map(printable)
  const isRooted = segments[0] === '' || /^[a-z]:/i.test(name)
  const path = segments.filter((segment) => segment !== '' && segment !== '.').join('/')
  return isRooted || segments.includes('..') || path.length > pathCharsMax ? baseName(name) : path
}

/** The last segment of a path of any system, without what a terminal or a log would take for orders. */
export function baseName(name: string): string {
  const base = printable(name.split(/[/\\]/).at(-1) ?? '')
  return base === '.' || base === '..' ? '' : base.slice(0, nameCharsMax)
}

function printable(segment: string): string {
  return segment.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').trim()
}
