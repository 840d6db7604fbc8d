/**
 * The inside of a zip container (DOCX, PPTX, XLSX), read from memory and never written anywhere. Holds the caps: entries, bytes counted
 * while they inflate (what the directory declares is only a first check), ratio. Entries that nobody asks for are never inflated, and a zip
 * in a zip is never opened.
 */
import { fromBufferPromise, type Entry, type ZipFile } from 'yauzl'

import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'

/** Below this size a high ratio harms nobody. */
const ratioFreeBytes = 1_000_000
const encryptedFlag = 1
/** Of the mode that a Unix program notes of an entry, in the upper half of its attributes. */
const fileTypeMask = 0o170000
const linkType = 0o120000

export class ZipArchive {
  readonly #zip: ZipFile
  readonly #entries: ReadonlyMap<string, Entry>
  readonly #limits: ParseLimits
  #inflatedBytes = 0

  private constructor(zip: ZipFile, entries: ReadonlyMap<string, Entry>, limits: ParseLimits) {
    this.#zip = zip
    this.#entries = entries
    this.#limits = limits
  }

  /** Reads the directory. Throws `document_broken`, `document_bomb` or `document_encrypted`. */
  static async open(bytes: Uint8Array, limits: ParseLimits): Promise<ZipArchive> {
    const entries = new Map<string, Entry>()
    try {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const zip = await fromBufferPromise(buffer, { lazyEntries: true, validateEntrySizes: true })
      if (zip.entryCount > limits.zipEntries) throw tooManyEntries(zip.entryCount, limits)
      for await (const entry of zip.eachEntry()) addEntry(entries, entry, limits)
      return new ZipArchive(zip, entries, limits)
    } catch (error) {
      throw asDocumentError(error)
    }
  }

  has(name: string): boolean {
    return this.#entries.has(name)
  }

  names(): readonly string[] {
    return [...this.#entries.keys()]
  }

  /** The bytes of an entry as they inflate; nothing when there is no such entry. Throws as `open`, and on the caps of bytes and ratio. */
  async *read(name: string): AsyncGenerator<Uint8Array> {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    this.#assertSize(entry, entry.uncompressedSize)
    let bytes = 0
    try {
      for await (const chunk of await this.#zip.openReadStreamPromise(entry)) {
        if (!(chunk instanceof Uint8Array)) continue
        bytes += chunk.length
        this.#inflatedBytes += chunk.length
        this.#assertSize(entry, bytes)
        yield chunk
      }
    } catch (error) {
      throw asDocumentError(error)
    }
  }

  #assertSize(entry: Entry, bytes: number): void {
    const { zipBytes, zipRatio } = this.#limits
    if (bytes > zipBytes || this.#inflatedBytes > zipBytes)
      throw new CorralError('document_bomb', `it unpacks to more than ${zipBytes} bytes: save it without what makes it large`)
    if (bytes > ratioFreeBytes && bytes > entry.compressedSize * zipRatio)
      throw new CorralError(
        'document_bomb',
        `a part of it unpacks to more than ${zipRatio} times its size: save it without what makes it large`,
      )
  }
}

function addEntry(entries: Map<string, Entry>, entry: Entry, limits: ParseLimits): void {
  if (entries.size >= limits.zipEntries) throw tooManyEntries(entries.size + 1, limits)
  if ((entry.generalPurposeBitFlag & encryptedFlag) !== 0) throw new CorralError('document_encrypted', 'it is an encrypted zip')
  if (((entry.externalFileAttributes >>> 16) & fileTypeMask) === linkType)
    throw new CorralError('document_broken', 'a part of it is a link to another file: open it in its own program and save it anew')
  if (entries.has(entry.fileName))
    throw new CorralError('document_broken', 'two parts of it have the same name: open it in its own program and save it anew')
  entries.set(entry.fileName, entry)
}

function tooManyEntries(count: number, { zipEntries }: ParseLimits): CorralError {
  return new CorralError('document_bomb', `it has ${count} parts, more than ${zipEntries}: split it`)
}

function asDocumentError(error: unknown): CorralError {
  if (error instanceof CorralError) return error
  return new CorralError('document_broken', 'its zip container is damaged: open it in its own program and save it anew', { cause: error })
}
