// What a document is and in which characters it is written: by its bytes, whatever its name says.

import { expect, test } from 'vitest'
import { decodeText } from '../../src/ingest/charset.ts'
import { makeDocx, makeZip } from './parse-made-zip.ts'
import { codeOf, documentBytes, read } from './parse-support.ts'

const russian = 'Стадо лам пасётся на лугу. Каждая лама отвечает на вопросы по очереди, и ни одна не остаётся без дела.\n'
const japanese = 'これは日本語の文章です。文字コードを正しく判定できるかどうかを確かめます。漢字とかなが混ざっています。\n'
const chinese = '这是一个用于检测字符编码的中文文本。我们希望它能够被正确地识别出来，并且没有乱码。\n'
const german = 'Die Straße überquert den Fluß, und die Mädchen grüßen fröhlich die größeren Jungen.\n'

/** Bytes of `text` in a charset of 8 or 16 bits a character, by turning the platform's decoder around. */
function encode(text: string, charset: string): Buffer {
  const decoder = new TextDecoder(charset)
  const bytesOf = new Map<string, number[]>()
  for (let high = 0; high < 256; high += 1) {
    const single = decoder.decode(Uint8Array.of(high))
    if (single.length === 1 && single !== '\ufffd') bytesOf.set(single, [high])
    for (let low = high > 0x80 ? 0x40 : 256; low < 256; low += 1) {
      const pair = decoder.decode(Uint8Array.of(high, low))
      if (pair.length === 1 && pair !== '\ufffd' && !bytesOf.has(pair)) bytesOf.set(pair, [high, low])
    }
  }
  return Buffer.from(Array.from(text).flatMap((character) => bytesOf.get(character) ?? []))
}

const utf16be = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
const utf32le = (text: string): Buffer =>
  Buffer.from(Uint32Array.from(Array.from(`\ufeff${text}`, (one) => one.codePointAt(0) ?? 0)).buffer)

test.for([
  ['UTF-8', Buffer.from(russian), russian],
  ['UTF-8 with a mark', Buffer.from(`\ufeff${russian}`), russian],
  ['UTF-16LE with a mark', Buffer.from(`\ufeff${russian}`, 'utf16le'), russian],
  ['UTF-16BE with a mark', utf16be(`\ufeff${russian}`), russian],
  ['UTF-16LE without a mark', Buffer.from(german, 'utf16le'), german],
  ['UTF-16BE without a mark', utf16be(german), german],
  ['UTF-16LE of Cyrillic without a mark', Buffer.from(russian, 'utf16le'), russian],
  ['UTF-16BE of Japanese without a mark', utf16be(japanese), japanese],
  ['UTF-32LE', utf32le(german), german],
  ['windows-1251', encode(russian.repeat(3), 'windows-1251'), russian.repeat(3)],
  ['KOI8-R', encode(russian.repeat(3), 'koi8-r'), russian.repeat(3)],
  ['windows-1252', encode(german.repeat(3), 'windows-1252'), german.repeat(3)],
  ['Shift_JIS', encode(japanese, 'shift_jis'), japanese],
  ['EUC-JP', encode(japanese, 'euc-jp'), japanese],
  ['GB18030', encode(chinese, 'gb18030'), chinese],
  [
    'Big5',
    encode('這是一個用於檢測字元編碼的中文文本。我們希望它能夠被正確地識別出來。\n', 'big5'),
    '這是一個用於檢測字元編碼的中文文本。我們希望它能夠被正確地識別出來。\n',
  ],
] as const)('%s is decoded', ([, bytes, text]) => {
  expect(decodeText(bytes)?.text.trim()).toBe(text.trim())
})

test('what a page says of its charset goes before a guess', async () => {
  const page = `<html><head><meta charset="windows-1251"></head><body><p>${russian.slice(0, 25)}</p></body></html>`
  expect((await read(encode(page, 'windows-1251'))).text).toBe(russian.slice(0, 25).trim())
  expect((await read(encode(german.slice(0, 12), 'windows-1252'), { declaredType: 'text/plain; charset=windows-1252' })).text).toBe(
    'Die Straße ü',
  )
})

test('a few broken bytes in UTF-8 stay damage and are reported', async () => {
  const bytes = Buffer.concat([Buffer.from(russian.repeat(20)), Buffer.from([0xff]), Buffer.from(russian.repeat(20))])
  const document = await read(bytes)
  expect(document.text).toContain('\ufffd')
  expect(document.text).toContain('Стадо лам')
  expect(document.warnings).toHaveLength(1)
})

test.for([
  ['a DOCX named .pdf', makeDocx('<w:p><w:r><w:t>Hi</w:t></w:r></w:p>'), 'x.pdf', 'wordprocessingml'],
  ['a PDF named .docx', documentBytes('multi_page.pdf'), 'x.docx', 'application/pdf'],
  ['HTML named .txt', '<!doctype html><html><body><p>Hi</p></body></html>', 'x.txt', 'text/html'],
  ['text that speaks of %PDF-1.4 named .pdf', 'A file begins with %PDF-1.4 and ends with EOF.', 'x.pdf', 'text/plain'],
  ['Markdown without a name', '# Title\n\nSome [link](https://a.b/c) and **bold**.\n', 'upload', 'text/markdown'],
  ['CSV without a name', 'name,age,city\nAnn,31,Rome\nBob,44,Oslo\n', 'upload', 'text/csv'],
  ['code by its first line', '#!/usr/bin/env python3\nprint(1)\n', 'upload', 'text/x-python'],
  [
    'Markdown that begins with a drawing',
    '<svg xmlns="http://www.w3.org/2000/svg"></svg>\n\n# Title\n\nWords.\n',
    'README.md',
    'text/markdown',
  ],
  ['a drawing without a name', '<svg xmlns="http://www.w3.org/2000/svg"><text>Hi</text></svg>', 'upload', 'application/xml'],
  ['text named .md with no marks', 'Just words.\n', 'a.md', 'text/markdown'],
  [
    'prose with commas',
    'First, there was one, then two.\nAfter that, more came, and more.\nIn the end, all left, at last.\n',
    'upload',
    'text/plain',
  ],
] as const)('%s is what it holds', async ([, content, name, type]) => {
  expect((await read(content, { name })).contentType).toContain(type)
})

test('the declared type chooses Markdown where there is no name', async () => {
  const document = await read('<svg xmlns="http://www.w3.org/2000/svg"></svg>\n\n# Title\n', {
    declaredType: 'text/markdown; charset=utf-8',
  })
  expect(document.contentType).toBe('text/markdown')
  expect(document.title).toBe('Title')
})

test('bytes before a PDF do not hide it', async () => {
  const pdf = Buffer.concat([Buffer.from('\n\nX-Header: 1\n\n'), documentBytes('multi_page.pdf')])
  expect((await read(pdf)).contentType).toBe('application/pdf')
})

/** The first bytes of each, and then nothing that a decoder would take. */
const pictures = (
  [
    ['a cut JPEG', 'ffd8ffe000104a46494600'],
    ['a GIF', '474946383961ffffffff'],
    ['a PNG of 30,000 by 30,000 pixels', '89504e470d0a1a0a0000000d4948445200007530000075300806000000'],
    ['a TIFF', '49492a0008000000'],
    ['a HEIC', '000000186674797068656963'],
    ['a WebP', '52494646100000005745425056503820'],
  ] as const
).map(([what, head]) => [what, Buffer.concat([Buffer.from(head, 'hex'), Buffer.alloc(100)])] as const)

test.for([
  ...pictures.map(([what, bytes]) => [what, bytes, 'document_needs_ocr'] as const),
  [
    'a picture of one pixel',
    Buffer.from('89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154', 'hex'),
    'document_needs_ocr',
  ],
  [
    'random bytes',
    Buffer.from(Array.from({ length: 4_000 }, (_, index) => (index * 7_919 + (index >> 3) * 31) % 256)),
    'document_unsupported',
  ],
  ['an old Office file', Buffer.concat([Buffer.from('d0cf11e0a1b11ae1', 'hex'), Buffer.alloc(600)]), 'document_unsupported'],
  [
    'an encrypted Office file',
    Buffer.concat([Buffer.from('d0cf11e0a1b11ae1', 'hex'), Buffer.from('EncryptedPackage', 'utf16le')]),
    'document_encrypted',
  ],
  ['a zip of files', makeZip([{ name: 'a.txt', data: 'a' }]), 'document_unsupported'],
  [
    'an OpenDocument',
    makeZip([
      { name: 'mimetype', data: 'application/vnd.oasis.opendocument.text' },
      { name: 'content.xml', data: '<a/>' },
    ]),
    'document_unsupported',
  ],
  ['a single byte', Buffer.from([0]), 'document_unsupported'],
] as const)('%s is refused', async ([, bytes, code]) => {
  expect(await codeOf(read(bytes, { name: 'x.txt' }))).toBe(code)
})

test.for(['../../etc/passwd', 'a\0.pdf', 'x'.repeat(5_000), 'CON', '\u202efdp.exe', '<script>alert(1)</script>', ''])(
  'the name %j is only a name',
  async (name) => {
    expect((await read('Plain words.\n', { name })).text).toBe('Plain words.\n')
  },
)
