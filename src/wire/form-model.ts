/**
 * The `model` field of a multipart form (`/v1/audio/transcriptions`): which node the form goes to, and whether its sender may
 * ask for that model, hangs on it. Only forms that every parser reads alike are read, which are those that clients write:
 * CRLF lines, no preamble, one plain `Content-Disposition` per part. What is read otherwise by Go (`mime/multipart`) must not
 * look like a permitted model here, so that any other form has no model.
 */
import { CorralError } from '../core/errors.ts'
import type { ByteRange } from '../core/envelope.ts'

/** Go reads no more parts, either. */
const partsMax = 1_000
const headBytesMax = 8_192
/** The parameter `boundary` once, quoted or plain; what Go's own writer and all known clients send. */
const formType = /^multipart\/form-data(?:;\s*charset=[\w-]+)?;\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s";,]{1,70}))\s*$/i
const disposition = /^content-disposition: *form-data; *name="([^"\\]*)"(;.*)?$/i
const fileName = /^; *filename="(?:[^"\\]|\\.)*"(?:; *filename\*=[^";\s]+)?$/
const crlf = Buffer.from('\r\n')
const headEnd = Buffer.from('\r\n\r\n')

/**
 * Where the value of the form's `model` stands in `body`; null when `contentType` is no form, the form has none, or not all
 * of it is plain. Throws `invalid_request` for two models.
 */
export function findFormModel(contentType: string | null, body: Buffer): ByteRange | null {
  const match = formType.exec(contentType ?? '')
  const boundary = match?.[1] ?? match?.[2]
  if (boundary === undefined) return null
  let found: ByteRange | null = null
  for (const part of partsOf(body, Buffer.from(`--${boundary}`))) {
    if (part === null) return null
    const { name, isPlain } = part
    if (name !== 'model') continue
    if (!isPlain) return null
    if (found !== null) throw new CorralError('invalid_request', 'the form names two models')
    found = part.value
  }
  return found === null || found.start === found.end ? null : found
}

interface Part {
  readonly name: string
  /** A field whose value stands there as it is, and no file. */
  readonly isPlain: boolean
  readonly value: ByteRange
}

/** The parts one after the other; null, and then none, at what parsers may read differently or is cut off. */
function* partsOf(body: Buffer, dash: Buffer): Generator<Part | null> {
  const delimiter = Buffer.concat([crlf, dash])
  let at = standsAt(body, dash, 0) ? dash.length : -1
  for (let count = 0; at >= 0; count += 1) {
    if (body.toString('latin1', at, at + 2) === '--') return
    const part = count < partsMax && standsAt(body, crlf, at) ? partAt(body, at + crlf.length, { dash, delimiter }) : null
    yield part
    if (part === null) return
    at = part.value.end + delimiter.length
  }
  yield null
}

function partAt(body: Buffer, start: number, { dash, delimiter }: { dash: Buffer; delimiter: Buffer }): Part | null {
  const end = body.indexOf(headEnd, start)
  if (end < 0 || end - start > headBytesMax) return null
  const head = readHead(body.toString('latin1', start, end))
  const valueStart = end + headEnd.length
  const valueEnd = body.indexOf(delimiter, valueStart)
  // A boundary straight behind the head is one for Go, and none for others.
  if (head === null || valueEnd < 0 || standsAt(body, dash, valueStart)) return null
  return { ...head, value: { start: valueStart, end: valueEnd } }
}

function standsAt(body: Buffer, bytes: Buffer, at: number): boolean {
  return body.subarray(at, at + bytes.length).equals(bytes)
}

function readHead(head: string): Pick<Part, 'name' | 'isPlain'> | null {
  const lines = head.split('\r\n')
  // Folded lines, bare line ends and a second disposition are read by some and not by others.
  if (lines.some((line) => !/^[\w-]+:[^\r\n\0]*$/.test(line))) return null
  const dispositions = lines.filter((line) => /^content-disposition:/i.test(line))
  const match = dispositions.length === 1 ? disposition.exec(dispositions[0] ?? '') : null
  const [, name, rest] = match ?? []
  if (name === undefined || (rest !== undefined && !fileName.test(rest))) return null
  const isEncoded = lines.some((line) => /^content-transfer-encoding:/i.test(line))
  return { name, isPlain: rest === undefined && !isEncoded }
}
