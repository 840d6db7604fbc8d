/**
 * What a document is, by its bytes. The name and the declared type are never believed: they only choose between text formats that look alike
 * (Markdown or plain text, which programming language). What cannot be read is refused here, with a sentence that says what to do.
 */
import { fileTypeFromBuffer } from 'file-type'

import { CorralError } from '../core/errors.ts'
import { decodeText } from './charset.ts'
import type { ParseLimits } from './limits.ts'
import { cleanText } from './parse/clean-text.ts'
import { ZipArchive } from './parse/zip.ts'
import { textFormat, type TextFormat } from './sniff-text.ts'

export type Sniffed =
  | { readonly format: 'pdf' | 'docx' | 'pptx' | 'xlsx' | 'email' }
  | { readonly format: TextFormat; readonly text: string; readonly language: string; readonly isLossy: boolean }

export interface SniffHints {
  readonly name: string
  readonly declaredType: string | null
  readonly limits: ParseLimits
}

const pdfHeadBytes = 1_024
const pdfTailBytes = 2_048
const olePrefix = [0xd0, 0xcf, 0x11, 0xe0]
const zipPrefix = [0x50, 0x4b, 0x03, 0x04]

/** Throws `document_unsupported`, `document_encrypted`, `document_broken` or `document_bomb`. */
export async function sniff(bytes: Uint8Array, hints: SniffHints): Promise<Sniffed> {
  if (startsWith(bytes, zipPrefix)) return { format: await zipFormat(bytes, hints.limits) }
  if (startsWith(bytes, olePrefix)) throw oleError(bytes)
  if (isPdf(bytes)) return { format: 'pdf' }
  const known = await fileTypeFromBuffer(bytes).catch(() => undefined)
  if (known !== undefined && !isTextType(known.mime)) throw unsupported(known.mime)
  const decoded = decodeText(bytes, declaredCharset(bytes, hints.declaredType))
  if (decoded === null) throw new CorralError('document_unsupported', 'it is no text and of no type that can be read')
  // E-mail holds parts in charsets of their own: it is read from its bytes.
  const { format, language } = textFormat(decoded.text, hints)
  if (format === 'email') return { format }
  if (hints.declaredType?.startsWith('multipart/') === true)
    throw new CorralError('document_unsupported', 'it is a form within a form: send each file in it as a part of its own')
  const text = format === 'html' ? decoded.text : cleanText(decoded.text)
  return { format, text, language, isLossy: decoded.isLossy }
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte)
}

/** The mark of a PDF may follow some foreign bytes; then its end must be there too, or it is a text that speaks of PDF. */
function isPdf(bytes: Uint8Array): boolean {
  const head = latin(bytes.subarray(0, pdfHeadBytes))
  const at = head.indexOf('%PDF-')
  if (at === -1) return false
  return /^[\s\u00ef\u00bb\u00bf]*$/.test(head.slice(0, at)) || /startxref|%%EOF/.test(latin(bytes.subarray(-pdfTailBytes)))
}

async function zipFormat(bytes: Uint8Array, limits: ParseLimits): Promise<'docx' | 'pptx' | 'xlsx'> {
  const names = (await ZipArchive.open(bytes, limits)).names()
  const has = (prefix: string): boolean => names.some((name) => name.startsWith(prefix))
  if (names.includes('EncryptedPackage')) throw encryptedOffice()
  if (has('xl/workbook.bin')) throw new CorralError('document_unsupported', 'it is a binary workbook: save it as .xlsx')
  if (names.includes('[Content_Types].xml')) {
    if (has('word/')) return 'docx'
    if (has('ppt/')) return 'pptx'
    if (has('xl/')) return 'xlsx'
  }
  if (has('content.xml') && names.includes('mimetype'))
    throw new CorralError('document_unsupported', 'it is an OpenDocument file: save it as .docx, .pptx or .xlsx')
  throw new CorralError('document_unsupported', 'it is a zip archive: upload the files in it one by one')
}

/** Microsoft's old container holds old documents, messages, and new documents that are encrypted. */
function oleError(bytes: Uint8Array): CorralError {
  const encrypted = Buffer.from('EncryptedPackage', 'utf16le')
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(encrypted)) return encryptedOffice()
  return new CorralError('document_unsupported', 'it is an old Office file: save it as .docx, .pptx, .xlsx or .eml')
}

function encryptedOffice(): CorralError {
  return new CorralError('document_encrypted', 'it is an Office file with a password')
}

function isTextType(mime: string): boolean {
  return mime.startsWith('text/') || mime === 'application/xml' || mime === 'image/svg+xml' || mime.endsWith('+xml')
}

function unsupported(mime: string): CorralError {
  if (mime.startsWith('image/')) return new CorralError('document_needs_ocr', `it is a picture (${mime})`)
  if (mime === 'application/rtf') return new CorralError('document_unsupported', 'it is an RTF file: save it as .docx')
  return new CorralError('document_unsupported', `files of type ${mime} cannot be read: upload the text of it`)
}

/** By the declared type's parameter, or what HTML and XML say at their begin. */
function declaredCharset(bytes: Uint8Array, declaredType: string | null): string | null {
  const parameter = /;\s*charset\s*=\s*"?([\w.:-]+)/i.exec(declaredType ?? '')?.[1]
  if (parameter !== undefined) return parameter
  const head = latin(bytes.subarray(0, pdfHeadBytes))
  return (
    /<meta[^>]{0,200}charset\s*=\s*["']?([\w.:-]+)/i.exec(head)?.[1] ??
    /<\?xml[^>]{0,100}encoding\s*=\s*["']([\w.:-]+)/i.exec(head)?.[1] ??
    null
  )
}

function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
