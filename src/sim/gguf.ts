/**
 * Reads the header of an uploaded GGUF file: the facts that lists show of a model made from it, and whether a runner could
 * load its vocabulary. Lists and tensor data are skipped; a file that ends early counts as far as it was read.
 */
import { textOf, type JsonValue } from './json-value.ts'

export interface GgufFacts {
  readonly architecture: string
  readonly contextLength: number
  readonly embeddingLength: number
  readonly parameterCount: number
  /** Why no runner can load it; null when one can. */
  readonly loadError: string | null
}

const sizes: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }
const stringType = 8
const listType = 9
const missingMerges = 'error loading model: error loading model vocabulary: cannot find tokenizer merges in model file'

class Reader {
  readonly #bytes: Buffer
  #at = 8
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  number32(): number {
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  number64(): number {
    const value = Number(this.#bytes.readBigUInt64LE(this.#at))
    this.#at += 8
    return value
  }

  text(): string {
    const length = this.number64()
    const value = this.#bytes.toString('utf8', this.#at, this.#at + length)
    this.#at += length
    return value
  }

  value(type: number): JsonValue {
    if (type === stringType) return this.text()
    if (type === listType) {
      const item = this.number32()
      const count = this.number64()
      for (let index = 0; index < count; index += 1) this.value(item)
      return count
    }
    const size = sizes[type] ?? 4
    const value =
      type === 4 || type === 5 ? this.#bytes.readUInt32LE(this.#at) : size === 8 ? Number(this.#bytes.readBigUInt64LE(this.#at)) : 0
    this.#at += size
    return value
  }
}

/** Whether these bytes start a GGUF file. */
export function isGguf(bytes: Buffer): boolean {
  return bytes.subarray(0, 4).toString('latin1') === 'GGUF'
}

function number(keys: ReadonlyMap<string, JsonValue>, key: string): number {
  const value = keys.get(key)
  return typeof value === 'number' ? value : 0
}

/** The facts in the header. */
export function readGguf(bytes: Buffer): GgufFacts {
  const keys = new Map<string, JsonValue>()
  let parameterCount = 0
  try {
    const reader = new Reader(bytes)
    const tensorCount = reader.number64()
    const keyCount = reader.number64()
    for (let index = 0; index < keyCount; index += 1) {
      const key = reader.text()
      keys.set(key, reader.value(reader.number32()))
    }
    for (let index = 0; index < tensorCount; index += 1) parameterCount += tensorParameters(reader)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  const architecture = textOf(keys.get('general.architecture'), 'llama')
  const noMerges = keys.get('tokenizer.ggml.model') === 'gpt2' && !keys.has('tokenizer.ggml.merges')
  return {
    architecture,
    contextLength: number(keys, `${architecture}.context_length`),
    embeddingLength: number(keys, `${architecture}.embedding_length`),
    parameterCount,
    loadError: noMerges ? `llama-server process has terminated: exit status 1: ${missingMerges}\n${missingMerges}` : null,
  }
}

function tensorParameters(reader: Reader): number {
  reader.text()
  const dimensions = reader.number32()
  let count = 1
  for (let index = 0; index < dimensions; index += 1) count *= reader.number64()
  reader.number32()
  reader.number64()
  return count
}

/** A parameter count as Ollama prints it. */
export function humanCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)}B`
  if (count >= 1e6) return `${(count / 1e6).toFixed(2)}M`
  return count >= 1e3 ? `${(count / 1e3).toFixed(0)}K` : String(count)
}
