/**
 * Changes single fields of a JSON body by replacing their bytes; every other byte stays as the client sent it, so that big
 * integers, key order and U+2028 survive.
 */
import type { ByteRange, Envelope } from '../core/envelope.ts'
import { scanObject, skipSpace } from './json-scan.ts'

const unlimited = { depthMax: Infinity, keysMax: Infinity }
const openBrace = 0x7b
const closeBrace = 0x7d
const comma = 0x2c

/** The body with `text` in the place of some of its bytes. */
export function splice(body: Buffer, { start, end }: ByteRange, text: string): Buffer {
  return Buffer.concat([body.subarray(0, start), Buffer.from(text), body.subarray(end)])
}

/** Sets top-level `key` (lower case) to the JSON text `json`; a new field goes first. A body that is no object stays as it is. */
export function replaceField(body: Buffer, envelope: Envelope, key: string, json: string): Buffer {
  const field = envelope.fields.get(key)
  return field === undefined ? insertFirst(body, skipSpace(body, 0), key, json) : splice(body, field, json)
}

function insertFirst(body: Buffer, objectStart: number, key: string, json: string): Buffer {
  if (body[objectStart] !== openBrace) return body
  const inside = skipSpace(body, objectStart + 1)
  const separator = body[inside] === closeBrace ? '' : ','
  return splice(body, { start: objectStart + 1, end: objectStart + 1 }, `${JSON.stringify(key)}:${json}${separator}`)
}

interface FoundField {
  readonly keyStart: number
  readonly value: { readonly start: number; readonly end: number }
}

function findField(body: Buffer, objectStart: number, name: string): FoundField | null {
  let found: FoundField | null = null
  scanObject(body, objectStart, unlimited, (key, value, keyStart) => {
    if (key === name) found = { keyStart, value }
    return found === null
  })
  return found
}

function removeField(body: Buffer, objectStart: number, name: string): Buffer {
  const found = findField(body, objectStart, name)
  if (found === null) return body
  const after = skipSpace(body, found.value.end)
  if (body[after] === comma) return splice(body, { start: found.keyStart, end: skipSpace(body, after + 1) }, '')
  const before = body.lastIndexOf(comma, found.keyStart)
  return splice(body, { start: before > objectStart ? before : found.keyStart, end: found.value.end }, '')
}

const signInMark = Buffer.from('"signin_url"')

/** The body of a node's error without the address for signing it in, which holds the node's host name and public key. */
export function withoutSignIn(body: Buffer): Buffer {
  return body.includes(signInMark) ? removeField(body, skipSpace(body, 0), 'signin_url') : body
}

/** Sets `options.<option>` to the JSON text `json`, creating what is missing. */
export function replaceOption(body: Buffer, envelope: Envelope, option: string, json: string): Buffer {
  const options = envelope.fields.get('options')
  if (options?.kind !== 'object') return replaceField(body, envelope, 'options', `{${JSON.stringify(option)}:${json}}`)
  const found = findField(body, options.start, option)
  return found === null ? insertFirst(body, options.start, option, json) : splice(body, found.value, json)
}

/** Takes `options.<option>` out with one of its commas; the body as it is when it is not there. */
export function removeOption(body: Buffer, envelope: Envelope, option: string): Buffer {
  const options = envelope.fields.get('options')
  return options?.kind === 'object' ? removeField(body, options.start, option) : body
}
