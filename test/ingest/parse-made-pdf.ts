// PDFs for tests: text at given places in a standard font, encrypted or not, and the hostile ones.

import { createHash } from 'node:crypto'
import { constants, deflateRawSync, deflateSync } from 'node:zlib'

export interface MadeText {
  readonly text: string
  /** From the left, in points. */
  readonly x: number
  /** From the bottom, in points. */
  readonly y: number
  readonly size?: number
  readonly bold?: boolean
}

export interface MadePdfOptions {
  /** Encrypts with this user password (40-bit RC4, the standard handler's revision 2). */
  readonly password?: string
  /** Further entries of the catalogue, such as what to do when the file is opened. */
  readonly catalog?: string
  /** Default: a sheet of US Letter. */
  readonly mediaBox?: string
}

const padding = Buffer.from('28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a', 'hex')
const documentId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

export function makePdf(pages: readonly (readonly MadeText[])[], options: MadePdfOptions = {}): Buffer {
  const contents = pages.map((texts) => Buffer.from(texts.map(textOperator).join('\n'), 'latin1'))
  return pdfOf(contents, options)
}

/** A PDF whose pages have these content streams. */
export function pdfOf(
  contents: readonly Buffer[],
  { password, catalog = '', mediaBox = '0 0 612 792' }: MadePdfOptions = {},
  filter = '',
): Buffer {
  const key = password === undefined ? null : encryptionKey(password)
  const objects: (string | Buffer)[] = []
  const first = 5
  const kids = contents.map((_, index) => `${first + index * 2} 0 R`).join(' ')
  objects.push(`<< /Type /Catalog /Pages 2 0 R ${catalog} >>`)
  objects.push(`<< /Type /Pages /Kids [${kids}] /Count ${contents.length} >>`)
  objects.push('<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>')
  objects.push('<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>')
  contents.forEach((content, index) => {
    const number = first + index * 2
    const fonts = '/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >>'
    objects.push(`<< /Type /Page /Parent 2 0 R /MediaBox [${mediaBox}] /Contents ${number + 1} 0 R ${fonts} >>`)
    const body = key === null ? content : rc4(objectKey(key, number + 1), content)
    objects.push(Buffer.concat([Buffer.from(`<< /Length ${body.length} ${filter} >>\nstream\n`), body, Buffer.from('\nendstream')]))
  })
  const encrypt = key === null ? '' : encryptDictionary(key)
  if (encrypt !== '') objects.push(encrypt)
  return assemble(objects, encrypt === '' ? '' : `/Encrypt ${objects.length} 0 R`)
}

/** A PDF whose tree of pages leads back to its own root, behind so many pages with text; `claimed` is what the tree says of their number. */
export function cyclicPdf(readable: number, claimed: number): Buffer {
  const operator = textOperator({ text: 'The text of a page', x: 72, y: 700 })
  const page = '<< /Type /Page /Parent 3 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 6 0 R >> >> >>'
  const tree = (kids: string): string => `<< /Type /Pages /Parent 2 0 R /Kids [${kids}] /Count ${claimed} >>`
  return assemble(
    [
      '<< /Type /Catalog /Pages 2 0 R >>',
      tree('3 0 R'),
      tree(`${'4 0 R '.repeat(readable)}2 0 R`),
      page,
      `<< /Length ${operator.length} >>\nstream\n${operator}\nendstream`,
      '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
    ],
    '',
  )
}

function assemble(objects: readonly (string | Buffer)[], trailer: string): Buffer {
  const parts = [Buffer.from('%PDF-1.4\n')]
  const offsets: number[] = []
  let length = parts[0]?.length ?? 0
  objects.forEach((object, index) => {
    const bytes = Buffer.concat([Buffer.from(`${index + 1} 0 obj\n`), Buffer.from(object), Buffer.from('\nendobj\n')])
    offsets.push(length)
    parts.push(bytes)
    length += bytes.length
  })
  const table = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('')
  const id = `/ID [<${documentId.toString('hex')}> <${documentId.toString('hex')}>]`
  parts.push(Buffer.from(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}`))
  parts.push(Buffer.from(`trailer\n<< /Size ${objects.length + 1} /Root 1 0 R ${id} ${trailer} >>\nstartxref\n${length}\n%%EOF\n`))
  return Buffer.concat(parts)
}

function textOperator({ text, x, y, size = 10, bold = false }: MadeText): string {
  return `BT /${bold ? 'F2' : 'F1'} ${size} Tf 1 0 0 1 ${x} ${y} Tm (${text.replace(/([\\()])/g, '\\$1')}) Tj ET`
}

/** Algorithm 2 of ISO 32000-1, 7.6.3.3, for revision 2. */
function encryptionKey(password: string): Buffer {
  const permissions = Buffer.from([0xfc, 0xff, 0xff, 0xff])
  return md5(Buffer.concat([padded(password), ownerEntry(), permissions, documentId])).subarray(0, 5)
}

function encryptDictionary(key: Buffer): string {
  return `<< /Filter /Standard /V 1 /R 2 /O <${ownerEntry().toString('hex')}> /U <${rc4(key, padding).toString('hex')}> /P -4 >>`
}

function ownerEntry(): Buffer {
  return rc4(md5(padded('owner')).subarray(0, 5), padded(''))
}

function padded(password: string): Buffer {
  return Buffer.concat([Buffer.from(password, 'latin1'), padding]).subarray(0, 32)
}

function objectKey(key: Buffer, number: number): Buffer {
  return md5(Buffer.concat([key, Buffer.from([number & 0xff, (number >> 8) & 0xff, (number >> 16) & 0xff, 0, 0])])).subarray(
    0,
    key.length + 5,
  )
}

function md5(bytes: Buffer): Buffer {
  return createHash('md5').update(bytes).digest()
}

/** OpenSSL 3 has it no more. */
function rc4(key: Buffer, data: Buffer): Buffer {
  const state = Array.from({ length: 256 }, (_, index) => index)
  let j = 0
  const swap = (one: number, other: number) => {
    const held = state[one] ?? 0
    state[one] = state[other] ?? 0
    state[other] = held
  }
  for (let i = 0; i < 256; i += 1) {
    j = (j + (state[i] ?? 0) + (key[i % key.length] ?? 0)) & 255
    swap(i, j)
  }
  let i = 0
  j = 0
  return Buffer.from(
    data.map((byte) => {
      i = (i + 1) & 255
      j = (j + (state[i] ?? 0)) & 255
      swap(i, j)
      return byte ^ (state[((state[i] ?? 0) + (state[j] ?? 0)) & 255] ?? 0)
    }),
  )
}

/** A small PDF whose page inflates to so many megabytes of drawing operators. */
export function flateBomb(megabytes: number): Buffer {
  return pdfOf([deflatedRepeat(Buffer.alloc(1_000_000, 'q Q '), megabytes)], {}, '/Filter /FlateDecode')
}

/** What zlib makes of `piece`, `count` times over, without deflating gigabytes: after a full flush a block stands for itself. */
function deflatedRepeat(piece: Buffer, count: number): Buffer {
  const block = deflateRawSync(piece, { level: 9, finishFlush: constants.Z_FULL_FLUSH })
  const head = Buffer.from([0x78, 0xda])
  const end = deflateRawSync(Buffer.alloc(0))
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(adler32Repeat(piece, count))
  return Buffer.concat([head, ...Array.from({ length: count }, () => block), end, checksum])
}

/** Adler-32 of `piece`, `count` times over (RFC 1950, 8.2). */
function adler32Repeat(piece: Buffer, count: number): number {
  const modulus = 65_521
  let [low, high] = [1, 0]
  const sum = piece.reduce((total, byte) => total + byte, 0) % modulus
  // What one piece adds to `high` beside its length times `low`.
  const weighted = piece.reduce((total, byte, at) => (total + byte * (piece.length - at)) % modulus, 0)
  for (let turn = 0; turn < count; turn += 1) {
    high = (high + piece.length * low + weighted) % modulus
    low = (low + sum) % modulus
  }
  return high * 65_536 + low
}

/** A small PDF with `count` lines of text on one page. */
export function textBomb(count: number): Buffer {
  const line = 'BT /F1 9 Tf 1 0 0 1 50 700 Tm (the same line over and over again) Tj ET\n'
  return pdfOf([deflateSync(Buffer.from(line.repeat(count)), { level: 9 })], {}, '/Filter /FlateDecode')
}
