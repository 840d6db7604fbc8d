/**
 * How much one document may cost. The numbers come from measured attacks: a 400 KB PDF that took 915 MB, a 150 KB DOCX of 1.5 million
 * paragraphs, a PDF of 20,000 pages that died at 1 GiB. The parent process holds those of time and memory, the child all others.
 */

export interface ParseLimits {
  /** Of the file as it comes. */
  readonly sourceBytes: number
  readonly wallMs: number
  /** Processor time of the child for one document, counted where /proc exists. */
  readonly cpuMs: number
  /** V8's heap in the child. */
  readonly heapBytes: number
  /** All resident memory of the child, counted where /proc exists. */
  readonly residentBytes: number
  /** Of the text that comes out, in UTF-16 code units. */
  readonly textChars: number
  readonly blocks: number
  readonly pages: number
  readonly htmlBytes: number
  readonly zipEntries: number
  /** Of all entries that are unpacked, together. */
  readonly zipBytes: number
  /** Unpacked to packed, of one entry above 1 MB. */
  readonly zipRatio: number
  readonly xmlDepth: number
}

const MB = 1_000_000
const MiB = 1_048_576

export const defaultParseLimits: ParseLimits = {
  sourceBytes: 25 * MB,
  wallMs: 60_000,
  cpuMs: 30_000,
  heapBytes: 512 * MiB,
  residentBytes: 1_024 * MiB,
  textChars: 20 * MB,
  blocks: 200_000,
  pages: 2_000,
  htmlBytes: 5 * MB,
  zipEntries: 1_000,
  zipBytes: 100 * MB,
  zipRatio: 100,
  xmlDepth: 200,
}
