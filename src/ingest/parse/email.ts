/** E-mail (RFC 5322, MIME): subject, sender, receivers and date, then the text; the HTML body only when there is no plain one. Attachments are named, not read. */
import PostalMime, { type Address, type Attachment, type Email } from 'postal-mime'

import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { attachmentWarnings, type NamedAttachment } from './attachments.ts'
import { cleanLine, cleanText } from './clean-text.ts'
import { DocumentBuilder } from './document-builder.ts'
import { addHtml } from './html.ts'

const nestingMax = 20
const headersBytesMax = 1_000_000
const typeCharsMax = 100
const addressesShown = 50

/** Throws `document_broken` and `document_too_large`. */
export async function parseEmail(bytes: Uint8Array, limits: ParseLimits): Promise<ParsedDocument> {
  const mail = await read(bytes)
  const builder = new DocumentBuilder(limits)
  builder.add('heading', mail.subject ?? '', { level: 1 })
  builder.add('paragraph', headerLines(mail).join('\n'))
  if ((mail.text ?? '').trim() !== '') addText(builder, cleanText(mail.text ?? ''))
  else if (mail.html !== undefined) addHtml(builder, mail.html, limits)
  for (const warning of attachmentWarnings(mail.attachments.map(named))) builder.warnings.add(warning)
  return builder.finish('message/rfc822', { title: mail.subject ?? null })
}

async function read(bytes: Uint8Array): Promise<Email> {
  try {
    return await PostalMime.parse(bytes, { maxNestingDepth: nestingMax, maxHeadersSize: headersBytesMax })
  } catch (error) {
    throw new CorralError('document_broken', 'the e-mail cannot be read: save it anew', { cause: error })
  }
}

function headerLines({ from, to, cc, date }: Email): string[] {
  const lines: string[] = []
  if (from !== undefined) lines.push(`From: ${addressText(from)}`)
  if (to !== undefined && to.length > 0) lines.push(`To: ${to.slice(0, addressesShown).map(addressText).join(', ')}`)
  if (cc !== undefined && cc.length > 0) lines.push(`Cc: ${cc.slice(0, addressesShown).map(addressText).join(', ')}`)
  if (date !== undefined) lines.push(`Date: ${date}`)
  return lines.map(cleanLine)
}

function addressText({ name, address, group }: Address): string {
  if (group !== undefined) return `${name}: ${group.slice(0, addressesShown).map(addressText).join(', ')}`
  return name === '' || name === address ? address : `${name} <${address}>`
}

function addText(builder: DocumentBuilder, text: string): void {
  for (const part of text.split(/\n[^\S\n]*\n/)) {
    const lines = part.split('\n').filter((line) => line.trim() !== '')
    builder.add(lines.length > 0 && lines.every((line) => line.startsWith('>')) ? 'quote' : 'paragraph', part)
  }
}

function named({ filename, mimeType, content }: Attachment): NamedAttachment {
  const bytes = typeof content === 'string' ? content.length : content.byteLength
  return { name: filename, details: `${mimeType.slice(0, typeCharsMax)}, ${bytes} bytes` }
}
