/**
 * PDF by its text layer: pages are read one after the other (never at once), each let go before the next. What comes back are lines in
 * reading order (`pdf-layout.ts`); headings, repeated page heads and paragraphs need all pages and are found in `pdf-structure.ts`.
 */
import { getDocumentProxy } from 'unpdf'
import { z } from 'zod'

import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { attachmentWarnings, type NamedAttachment } from './attachments.ts'
import { DocumentBuilder } from './document-builder.ts'
import { layOut, type PageLayout } from './pdf-layout.ts'
import { readableRuns, type TextRun } from './pdf-runs.ts'
import { addPages, type OutlineEntry } from './pdf-structure.ts'

type PdfDocument = Awaited<ReturnType<typeof getDocumentProxy>>
type PdfPage = Awaited<ReturnType<PdfDocument['getPage']>>

const itemsPerPageMax = 200_000
const outlineEntriesMax = 5_000
/** No picture is ever drawn, so none needs to be decoded. */
const pixelsMax = 1
const chunkSchema = z.object({ items: z.array(z.unknown()) })
const attachmentsSchema = z.map(z.string(), z.object({ filename: z.string() }))
const infoSchema = z.object({ Title: z.string().optional() })

/** Throws `document_encrypted`, `document_broken`, `document_too_many_pages`, `document_too_large`, `document_needs_ocr`. */
export async function parsePdf(bytes: Uint8Array, limits: ParseLimits): Promise<ParsedDocument> {
  const pdf = await openPdf(bytes)
  if (pdf.numPages > limits.pages)
    throw new CorralError('document_too_many_pages', `it has ${pdf.numPages} pages, more than ${limits.pages}: split it`)
  const builder = new DocumentBuilder(limits)
  const pages: PageLayout[] = []
  const unread: string[] = []
  let chars = 0
  for (let number = 1; number <= pdf.numPages; number += 1) {
    const layout = await readPage(pdf, number)
    if (typeof layout === 'string') unread.push(`page ${number} ${layout}`)
    else if (layout.lines.length === 0) unread.push(`page ${number} has no text layer: needs OCR`)
    else pages.push(layout)
    chars += typeof layout === 'string' ? 0 : layout.chars
    if (chars > limits.textChars)
      throw new CorralError('document_too_large', `the text is longer than ${limits.textChars} characters: split it`)
  }
  if (pages.length === 0) throw nothingRead(unread)
  for (const warning of [...unread, ...attachmentWarnings(await attachments(pdf))]) builder.warnings.add(warning)
  addPages(builder, pages, await readOutline(pdf))
  return builder.finish('application/pdf', { title: await readTitle(pdf), pages: pdf.numPages })
}

function nothingRead(unread: readonly string[]): CorralError {
  const damaged = unread.find((warning) => warning.includes('damaged'))
  if (damaged !== undefined) return new CorralError('document_broken', `${damaged}, and no other page has text`)
  return new CorralError('document_needs_ocr', 'no page has a text layer')
}

async function openPdf(bytes: Uint8Array): Promise<PdfDocument> {
  try {
    // A copy, because the library takes the buffer away from its owner.
    return await getDocumentProxy(new Uint8Array(bytes), {
      verbosity: 0,
      maxImageSize: pixelsMax,
      disableFontFace: true,
      useSystemFonts: false,
      stopAtErrors: false,
    })
  } catch (error) {
    if (error instanceof Error && error.name === 'PasswordException')
      throw new CorralError('document_encrypted', 'it opens only with a password')
    throw new CorralError('document_broken', 'the PDF cannot be opened: it is cut off or damaged; save it anew', { cause: error })
  }
}

/** The layout of a page, or why it has none. */
async function readPage(pdf: PdfDocument, number: number): Promise<PageLayout | string> {
  let page: PdfPage
  try {
    page = await pdf.getPage(number)
  } catch {
    return 'is damaged: left out'
  }
  try {
    const runs = await readRuns(page)
    const readable = readableRuns(runs)
    if (readable === null) return 'has a text layer that is not readable: needs OCR'
    const { width, height } = page.getViewport({ scale: 1 })
    return layOut(readable, { number, width, height })
  } catch (error) {
    if (error instanceof CorralError) throw error
    return 'is damaged: left out'
  } finally {
    page.cleanup()
  }
}

async function readRuns(page: PdfPage): Promise<TextRun[]> {
  const { transform } = page.getViewport({ scale: 1 })
  const runs: unknown[] = []
  // Presentation forms stay as they are until the runs are put in order: a ligature that is taken apart too early ends up reversed.
  const reader = page.streamTextContent({ disableNormalization: true }).getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const { items } = chunkSchema.parse(next.value)
    for (const item of items) runs.push(item)
    if (runs.length > itemsPerPageMax) {
      await reader.cancel(new Error('too many pieces of text'))
      throw new CorralError('document_too_large', `page ${page.pageNumber} has more than ${itemsPerPageMax} pieces of text`)
    }
  }
  return runs.flatMap((item) => textRun(item, transform))
}

const itemSchema = z.object({
  str: z.string(),
  dir: z.string(),
  fontName: z.string(),
  width: z.number(),
  transform: z.array(z.number()).length(6),
})

/** A piece of text in device space: x to the right, y down, both in points. */
function textRun(item: unknown, page: readonly number[]): TextRun[] {
  const parsed = itemSchema.safeParse(item)
  if (!parsed.success || parsed.data.str === '') return []
  const { str, dir, fontName, width, transform } = parsed.data
  const [a = 1, b = 0, c = 0, d = 1, e = 0, f = 0] = page
  const [ia = 1, ib = 0, ic = 0, id = 1, ie = 0, jf = 0] = transform
  const along = { x: a * ia + c * ib, y: b * ia + d * ib }
  const size = Math.hypot(a * ic + c * id, b * ic + d * id)
  const isUpright = Math.abs(along.y) <= Math.abs(along.x) * 0.2
  const x = a * ie + c * jf + e
  const y = b * ie + d * jf + f
  if (![x, y, size, width].every(Number.isFinite) || size === 0) return []
  return [{ text: str, x, y, width, size, isUpright, isRtl: dir === 'rtl', font: fontName }]
}

async function readOutline(pdf: PdfDocument): Promise<readonly OutlineEntry[]> {
  const entrySchema = z.object({ title: z.string(), items: z.array(z.unknown()) })
  const entries: OutlineEntry[] = []
  const collect = (items: readonly unknown[], level: number): void => {
    for (const item of items) {
      const entry = entrySchema.safeParse(item)
      if (!entry.success || entries.length >= outlineEntriesMax) continue
      entries.push({ title: entry.data.title, level: Math.min(6, level) })
      if (level < 20) collect(entry.data.items, level + 1)
    }
  }
  // A broken outline says nothing about the pages.
  const outline: unknown = await pdf.getOutline().catch(() => null)
  if (Array.isArray(outline)) collect(outline, 1)
  return entries
}

/** Files that the document carries along, by name; they are never unpacked. */
async function attachments(pdf: PdfDocument): Promise<NamedAttachment[]> {
  // A broken list of them says nothing about the pages.
  const parsed = attachmentsSchema.safeParse(await pdf.getAttachments().catch(() => null))
  return parsed.success ? [...parsed.data.values()].map(({ filename }) => ({ name: filename })) : []
}

async function readTitle(pdf: PdfDocument): Promise<string | null> {
  const metadata: unknown = await pdf.getMetadata().catch(() => null)
  const parsed = z.object({ info: infoSchema }).safeParse(metadata)
  const title = parsed.success ? (parsed.data.info.Title ?? '') : ''
  // Programs put the name of their own file there, which is no title.
  return title === '' || /^(?:untitled|microsoft word - |.*\.(?:docx?|pdf|indd|tex|dvi|qxd|pptx?|xlsx?)$)/i.test(title.trim())
    ? null
    : title
}
