/** Bytes to a document, inside the child process: what it is, which parser reads it, and that every way to fail has a code. */
import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import { assertNever } from '../../base/assert.ts'
import type { ParseLimits } from '../limits.ts'
import { sniff, type Sniffed } from '../sniff.ts'

export interface ParseSource {
  readonly bytes: Uint8Array
  /** A file name, only ever a hint. */
  readonly name: string
  readonly declaredType: string | null
}

/** Throws a `CorralError` with a `document_…` code, whatever happens inside. */
export async function parseBytes(source: ParseSource, limits: ParseLimits): Promise<ParsedDocument> {
  const { bytes, name, declaredType } = source
  if (bytes.length === 0) throw new CorralError('document_empty', 'the file has 0 bytes: upload it again')
  if (bytes.length > limits.sourceBytes)
    throw new CorralError('document_too_large', `it has ${bytes.length} bytes, more than ${limits.sourceBytes}: split it`)
  let document: ParsedDocument
  try {
    const found = await sniff(bytes, { name, declaredType, limits })
    document = withLossWarning(await parseFormat(found, bytes, limits), found)
  } catch (error) {
    if (error instanceof CorralError) throw error
    throw new CorralError('document_broken', `it cannot be read (${reasonOf(error)}): save it anew`, { cause: error })
  }
  if (document.blocks.length === 0) throw new CorralError('document_empty', 'there is no text in it that a reader would see')
  return document
}

function withLossWarning(document: ParsedDocument, found: Sniffed): ParsedDocument {
  if (!('isLossy' in found) || !found.isLossy) return document
  return { ...document, warnings: [...document.warnings, 'some bytes are no characters of any charset: shown as \ufffd'] }
}

function reasonOf(error: unknown): string {
  if (error instanceof RangeError) return 'it is nested too deeply'
  return 'its reader failed'
}

async function parseFormat(found: Sniffed, bytes: Uint8Array, limits: ParseLimits): Promise<ParsedDocument> {
  // Each parser is loaded when its first document comes: a child that reads only text starts in a few milliseconds.
  switch (found.format) {
    case 'pdf':
      return (await import('./pdf.ts')).parsePdf(bytes, limits)
    case 'docx':
      return (await import('./docx.ts')).parseDocx(bytes, limits)
    case 'pptx':
      return (await import('./pptx.ts')).parsePptx(bytes, limits)
    case 'xlsx':
      return (await import('./xlsx.ts')).parseXlsx(bytes, limits)
    case 'email':
      return (await import('./email.ts')).parseEmail(bytes, limits)
    case 'html':
      return (await import('./html.ts')).parseHtml(found.text, limits)
    case 'xml':
      return (await import('./xml-text.ts')).parseXmlText(found.text, limits)
    case 'markdown':
      return (await import('./markdown.ts')).parseMarkdown(found.text, limits)
    case 'csv':
      return (await import('./csv.ts')).parseCsv(found.text, limits)
    case 'json':
      return (await import('./json.ts')).parseJson(found.text, limits)
    case 'jsonl':
      return (await import('./json.ts')).parseJsonLines(found.text, limits)
    case 'code':
      return (await import('./plain-text.ts')).parseCode(found.text, found.language, limits)
    case 'text':
      return (await import('./plain-text.ts')).parsePlainText(found.text, limits)
    default:
      return assertNever(found)
  }
}
