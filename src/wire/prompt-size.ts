/**
 * How large a prompt is, without parsing it: bytes of its text, ASCII and others, and its images, whose base64 is no text. Images are
 * found where the dialects have them; what no node reads as an image counts as text. Texts cost a native search for a mark.
 */
import { isAscii } from 'node:buffer'

import type { ByteRange, EnvelopeField, PromptSize } from '../core/envelope.ts'
import { scanArray, scanObject } from './json-scan.ts'

/** The keys of images. Texts of eight bytes and more, which a native search finds by leaps (node's string_search.h). */
const imageMarks = ['"images"', '"image_url"', '"source"'] as const
/** A prompt shorter than this has no picture worth a search: what little there is counts as text. */
const searchedBytesMin = 1_024
/** A message's parts, and those of a tool's result within one. */
const depthMax = 4
/** Bytes whose characters are counted; of a longer text all count as the costly ones. */
const countedBytesMax = 4_194_304
/** For a second look at what passed the limits already. */
const unlimited = { depthMax: Infinity, keysMax: Infinity }

/** The values that hold images in `fields` of a prompt and in a native `images` list, in the order of the fields. */
export function findImages(body: Buffer, fields: readonly EnvelopeField[], images: EnvelopeField | undefined): readonly ByteRange[] {
  const found: ByteRange[] = []
  if (images !== undefined) addStrings(body, images, found)
  for (const field of fields) {
    if (field.kind === 'array' && mayHoldImages(body, field)) addImages(body, field, { found, depth: 1 })
  }
  return found
}

function mayHoldImages(body: Buffer, { start, end }: ByteRange): boolean {
  if (end - start < searchedBytesMin) return false
  for (const mark of imageMarks) {
    const at = body.indexOf(mark, start, 'latin1')
    if (at >= 0 && at < end) return true
  }
  return false
}

interface Search {
  readonly found: ByteRange[]
  readonly depth: number
}

function addImages(body: Buffer, list: EnvelopeField, search: Search): void {
  scanArray(body, list.start, Infinity, (item) => {
    if (item.kind === 'object') addOfPart(body, item, search)
    return true
  })
}

/** Of a message or a part of one: Ollama's `images`, OpenAI's and Responses' `image_url`, Anthropic's `source`. */
function addOfPart(body: Buffer, part: EnvelopeField, { found, depth }: Search): void {
  scanObject(body, part.start, unlimited, (key, value) => {
    if (key === 'images') addStrings(body, value, found)
    else if (key === 'image_url') addString(body, value, { key: 'url', found })
    else if (key === 'source') addString(body, value, { key: 'data', found })
    else if ((key === 'content' || key === 'output') && value.kind === 'array' && depth < depthMax)
      addImages(body, value, { found, depth: depth + 1 })
    return true
  })
}

function addStrings(body: Buffer, list: EnvelopeField, found: ByteRange[]): void {
  if (list.kind !== 'array') return
  scanArray(body, list.start, Infinity, (item) => {
    if (item.kind === 'string') found.push(item)
    return true
  })
}

/** The value, or what an object has under `key`. */
function addString(body: Buffer, value: EnvelopeField, { key, found }: { readonly key: string; readonly found: ByteRange[] }): void {
  if (value.kind === 'string') found.push(value)
  if (value.kind !== 'object') return
  scanObject(body, value.start, unlimited, (name, inner) => {
    if (name === key && inner.kind === 'string') found.push(inner)
    return true
  })
}

/** Bytes of `fields` that are not in `images`, which lie in them or elsewhere. */
export function textBytesOf(fields: readonly EnvelopeField[], images: readonly ByteRange[]): number {
  let bytes = 0
  for (const field of fields) bytes += field.end - field.start
  for (const image of images) if (fields.some((field) => isWithin(image, field))) bytes -= image.end - image.start
  return bytes
}

/** The size of the prompt in `fields` with these images. */
export function promptSizeOf(body: Buffer, fields: readonly EnvelopeField[], images: readonly ByteRange[]): PromptSize {
  const bytes = textBytesOf(fields, images)
  const otherBytes = bytes > countedBytesMax ? bytes : otherBytesOf(body, fields, images)
  return { asciiBytes: bytes - otherBytes, otherBytes, images: images.length }
}

function isWithin(inner: ByteRange, { start, end }: ByteRange): boolean {
  return inner.start >= start && inner.end <= end
}

function otherBytesOf(body: Buffer, fields: readonly EnvelopeField[], images: readonly ByteRange[]): number {
  if (isAscii(body)) return 0
  let others = 0
  for (const field of fields) {
    let start = field.start
    for (const image of images) {
      if (!isWithin(image, field)) continue
      others += otherBytesIn(body, start, image.start)
      start = image.end
    }
    others += otherBytesIn(body, start, field.end)
  }
  return others
}

/**
 * Bytes of the characters beyond ASCII, by what a decoder gives: a character of three bytes is one unit, so two bytes more than
 * units are three bytes. One of two bytes counts half a byte less so, one of four a byte less.
 */
function otherBytesIn(body: Buffer, start: number, end: number): number {
  const bytes = end - start
  return Math.min(bytes, Math.ceil(1.5 * (bytes - body.utf8Slice(start, end).length)))
}
