// The caps on what one document may be: what is just within is read, what is just over is refused with the limit in its words.

import { describe, expect, test } from 'vitest'
import { makePdf } from './parse-made-pdf.ts'
import { makeDocx, makeXlsx, makeZip } from './parse-made-zip.ts'
import { codeOf, read } from './parse-support.ts'

describe('characters of text', () => {
  const words = 'Ten chars.'
  const mail = (body: string): string => `From: a@b.c\nTo: d@e.f\nSubject: S\nContent-Type: text/plain\n\n${body}\n`

  test.for([
    ['plain text', 'a.txt', (text: string) => text],
    ['Markdown', 'a.md', (text: string) => text],
    ['HTML', 'a.html', (text: string) => `<html><body><p>${text}</p></body></html>`],
    ['XML', 'a.xml', (text: string) => `<?xml version="1.0"?><a>${text}</a>`],
    ['JSON', 'a.json', (text: string) => JSON.stringify([text])],
    ['an e-mail', 'a.eml', mail],
    ['PDF', 'a.pdf', (text: string) => makePdf([[{ text, x: 72, y: 700 }]])],
    ['DOCX', 'a.docx', (text: string) => makeDocx(`<w:p><w:r><w:t>${text}</w:t></w:r></w:p>`)],
    ['XLSX', 'a.xlsx', (text: string) => makeXlsx(`<row r="1"><c r="A1" t="inlineStr"><is><t>${text}</t></is></c></row>`)],
  ] as const)('%s of more is refused', async ([, name, make]) => {
    const document = await read(make(words), { name })
    const textChars = document.text.length
    expect((await read(make(words), { name, limits: { textChars } })).text).toBe(document.text)
    const over = read(make(`${words} More.`), { name, limits: { textChars } })
    await expect(over).rejects.toMatchObject({ code: 'document_too_large', message: expect.stringContaining(`${textChars} characters`) })
  })

  test('the pages of a PDF count together', async () => {
    const page = [{ text: words, x: 72, y: 700 }]
    expect(await codeOf(read(makePdf([page, page, page]), { limits: { textChars: 25 } }))).toBe('document_too_large')
  })
})

describe('HTML as it comes', () => {
  const page = (length: number): string => `<html><body><p>Seen.</p>`.padEnd(length, ' ')

  test('a page of more is refused before it is looked at', async () => {
    expect((await read(page(200), { name: 'a.html', limits: { htmlBytes: 200 } })).text).toBe('Seen.')
    const over = read(page(201), { name: 'a.html', limits: { htmlBytes: 200 } })
    await expect(over).rejects.toMatchObject({ code: 'document_too_large', message: expect.stringContaining('200 characters') })
    expect(await codeOf(read(page(5_000_001), { name: 'a.html' }))).toBe('document_too_large')
  })

  test('the same holds for the HTML of a mail', async () => {
    const mail = `From: a@b.c\nTo: d@e.f\nSubject: S\nContent-Type: text/html\n\n${page(300)}\n`
    expect(await codeOf(read(mail, { name: 'a.eml', limits: { htmlBytes: 200 } }))).toBe('document_too_large')
    expect(await codeOf(read(mail, { name: 'a.eml', limits: { htmlBytes: 400 } }))).toBe('none')
  })
})

describe('bytes out of a zip', () => {
  const styles = { name: 'word/styles.xml', data: `<w:styles>${' '.repeat(3_000)}</w:styles>` }
  const letter = makeDocx(`<w:p><w:r><w:t>Seen.</w:t></w:r></w:p>${' '.repeat(3_000)}`, [styles])

  test('parts that are read count together', async () => {
    expect((await read(letter, { limits: { zipBytes: 7_000 } })).text).toBe('Seen.')
    const over = read(letter, { limits: { zipBytes: 5_000 } })
    await expect(over).rejects.toMatchObject({ code: 'document_bomb', message: expect.stringContaining('5000 bytes') })
  })

  test('a part that says it is small is counted while it unpacks', async () => {
    const lying = makeZip([
      { name: '[Content_Types].xml', data: '<Types/>' },
      { name: 'word/document.xml', data: `<w:document><w:body>${' '.repeat(9_000)}</w:body></w:document>`, declaredBytes: 100 },
    ])
    expect(['document_bomb', 'document_broken']).toContain(await codeOf(read(lying, { limits: { zipBytes: 5_000 } })))
  })

  test('100 MB is the most, however little they are packed to', async () => {
    const large = Buffer.alloc(101_000_000, ' ')
    expect(await codeOf(read(makeDocx('', [{ name: 'word/styles.xml', data: large }]), { limits: { zipRatio: Infinity } }))).toBe(
      'document_bomb',
    )
  })
})
