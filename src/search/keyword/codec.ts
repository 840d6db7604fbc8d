/**
 * Bytes of the keyword index. Numbers are little-endian base-128 (LEB128); ascending ones are stored as differences. Three forms:
 * postings of one term (ordinals in the segment with frequencies), the chunk map of a segment (number and length by ordinal), and a
 * packed segment (all terms with their postings). Decoders trust nothing: bytes that end early or go backwards are an error, as they
 * mean that a row is damaged.
 */

/** The chunks that have a term: ordinals ascending, frequencies beside them. */
export interface Postings {
  readonly ordinals: Int32Array
  readonly frequencies: Uint16Array
}

/** Which chunk an ordinal is, ascending, and how many terms it has. */
export interface ChunkMap {
  readonly numbers: Int32Array
  readonly lengths: Int32Array
  /** The greatest of the lengths. */
  readonly longest: number
}

export function chunkMap(numbers: Int32Array, lengths: Int32Array): ChunkMap {
  let longest = 0
  for (const length of lengths) if (length > longest) longest = length
  return { numbers, lengths, longest }
}

/** More occurrences in one chunk make no difference that BM25 could show. */
export const frequencyMax = 65_535

export class ByteWriter {
  #bytes: Buffer
  #length = 0

  constructor(sizeBytes = 256) {
    this.#bytes = Buffer.allocUnsafe(sizeBytes)
  }

  #reserve(sizeBytes: number): void {
    if (this.#length + sizeBytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + sizeBytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }

  number(value: number): void {
    this.#reserve(5)
    let rest = value
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.#bytes[this.#length++] = rest
  }

  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8')
    this.number(bytes.length)
    this.raw(bytes)
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** What was written; the writer may be used on, but not what it gave before. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  reset(): void {
    this.#length = 0
  }
}

class ByteReader {
  readonly #bytes: Buffer
  at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  number(): number {
    let value = 0
    let shift = 0
    for (;;) {
      const byte = this.#bytes[this.at++]
      if (byte === undefined || shift > 28) throw new Error(`a damaged row of the keyword index: no number at byte ${this.at - 1}`)
      value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
      shift += 7
    }
  }

  raw(sizeBytes: number): Buffer {
    if (this.at + sizeBytes > this.#bytes.length) throw new Error(`a damaged row of the keyword index: ${sizeBytes} bytes are not there`)
    const bytes = this.#bytes.subarray(this.at, this.at + sizeBytes)
    this.at += sizeBytes
    return bytes
  }

  text(): string {
    const sizeBytes = this.number()
    return this.raw(sizeBytes).toString('utf8')
  }
}

/** The count first; a frequency of one, the usual, costs no byte. */
export function encodePostings({ ordinals, frequencies }: Postings, writer = new ByteWriter(ordinals.length * 2 + 8)): Buffer {
  writer.number(ordinals.length)
  let before = -1
  for (let index = 0; index < ordinals.length; index += 1) {
    const ordinal = ordinals[index] ?? 0
    const frequency = frequencies[index] ?? 1
    const gap = ordinal - before - 1
    writer.number(frequency === 1 ? gap * 2 + 1 : gap * 2)
    if (frequency !== 1) writer.number(frequency)
    before = ordinal
  }
  return writer.done()
}

export function decodePostings(bytes: Buffer): Postings {
  const reader = new ByteReader(bytes)
  const count = reader.number()
  if (count > bytes.length) throw new Error(`a damaged row of the keyword index: ${count} postings in ${bytes.length} bytes`)
  const ordinals = new Int32Array(count)
  const frequencies = new Uint16Array(count)
  let before = -1
  for (let index = 0; index < count; index += 1) {
    const head = reader.number()
    before += (head >>> 1) + 1
    ordinals[index] = before
    frequencies[index] = (head & 1) === 1 ? 1 : reader.number()
  }
  return { ordinals, frequencies }
}

export function encodeMap({ numbers, lengths }: ChunkMap): Buffer {
  const writer = new ByteWriter(numbers.length * 3 + 8)
  writer.number(numbers.length)
  let before = -1
  for (let ordinal = 0; ordinal < numbers.length; ordinal += 1) {
    const number = numbers[ordinal] ?? 0
    writer.number(number - before - 1)
    writer.number(lengths[ordinal] ?? 0)
    before = number
  }
  return writer.done()
}

export function decodeMap(bytes: Buffer): ChunkMap {
  const reader = new ByteReader(bytes)
  const count = reader.number()
  if (count > bytes.length) throw new Error(`a damaged row of the keyword index: ${count} chunks in ${bytes.length} bytes`)
  const numbers = new Int32Array(count)
  const lengths = new Int32Array(count)
  let before = -1
  for (let ordinal = 0; ordinal < count; ordinal += 1) {
    before += reader.number() + 1
    numbers[ordinal] = before
    lengths[ordinal] = reader.number()
  }
  return chunkMap(numbers, lengths)
}

/** Ascending numbers of chunks. */
export function encodeNumbers(numbers: Int32Array): Buffer {
  return encodeMap(chunkMap(numbers, new Int32Array(numbers.length)))
}

export function decodeNumbers(bytes: Buffer): Int32Array {
  return decodeMap(bytes).numbers
}

export function encodePacked(terms: ReadonlyMap<string, Postings>): Buffer {
  const writer = new ByteWriter(terms.size * 16 + 8)
  const own = new ByteWriter()
  writer.number(terms.size)
  for (const [term, postings] of terms) {
    writer.text(term)
    own.reset()
    const bytes = encodePostings(postings, own)
    writer.number(bytes.length)
    writer.raw(bytes)
  }
  return writer.done()
}

/** The postings of each term, as bytes of their own: a query reads only few of them. */
export function decodePacked(bytes: Buffer): Map<string, Buffer> {
  const reader = new ByteReader(bytes)
  const terms = new Map<string, Buffer>()
  for (let left = reader.number(); left > 0; left -= 1) {
    const term = reader.text()
    const sizeBytes = reader.number()
    terms.set(term, reader.raw(sizeBytes))
  }
  return terms
}
