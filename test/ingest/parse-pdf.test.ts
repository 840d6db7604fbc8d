// PDF: reading order, headings, paragraphs, tables, pages, what repeats, right to left, passwords, pages without text.

import { expect, test } from 'vitest'
import { hintOf } from '../../src/core/error-hints.ts'
import { cyclicPdf, makePdf, type MadeText } from './parse-made-pdf.ts'
import { blockWith, codeOf, documentBytes, read, readFile, textsOf } from './parse-support.ts'

const words = 'the quick brown fox jumps over the lazy dog and runs far away from here'.split(' ')

/** Lines of prose of one column, from the top. */
function column(x: number, top: number, options: { readonly lines: number; readonly name: string }): MadeText[] {
  return Array.from({ length: options.lines }, (_, index) => ({
    text: `${options.name}${index} ${words.slice(index % 5, (index % 5) + 8).join(' ')}`,
    x,
    y: top - index * 12,
  }))
}

const prose = (page: number): MadeText[] => column(72, 650, { lines: 10, name: `page${page}line` })

test('headings, lists and pages of a long text come in order', async () => {
  const document = await readFile('multi_page.pdf')
  expect(document.pages).toBe(5)
  const headings = textsOf(document, 'heading')
  expect(document.title).toBe('The Evolution of the Word Processor')
  expect(headings.slice(1, 4)).toEqual([
    'Pre-Digital Era (19th - Early 20th Century)',
    'The Birth of Word Processing (1960s - 1970s)',
    'The Rise of Personal Computers (1980s)',
  ])
  expect(blockWith(document, 'IBM MT/ST')).toMatchObject({
    kind: 'list',
    page: 1,
    headings: ['The Birth of Word Processing (1960s - 1970s)'],
  })
  expect(blockWith(document, 'Some exciting possibilities include')).toMatchObject({ page: 4, headings: ['A Glimpse Into the Future'] })
  expect(document.text).toContain('Patented in 1868 by Christopher Latham Sholes, the typewriter revolutionized written communication')
})

test('text of two pages keeps its headings and loses the page numbers', async () => {
  const document = await readFile('code_and_formula.pdf')
  expect(document.title).toBe('JavaScript Code Example')
  expect(textsOf(document, 'heading')).toEqual(['JavaScript Code Example', 'Formula'])
  expect(blockWith(document, 'a2 + 8 = 12').page).toBe(2)
  expect(textsOf(document)).not.toContain('1')
})

test('two columns under a heading across both are read one after the other', async () => {
  const heading = { text: 'A heading that reaches across both columns of the page', x: 72, y: 700, size: 18 }
  // Drawn line by line across the page, as some programs do.
  const left = column(72, 670, { lines: 12, name: 'left' })
  const right = column(330, 670, { lines: 12, name: 'right' })
  const document = await read(makePdf([[heading, ...left.flatMap((line, index) => [line, right[index] ?? line])]]))
  expect(textsOf(document)[0]).toBe(heading.text)
  const order = Array.from(document.text.matchAll(/\b(left|right)(\d+)\b/g), ([name]) => name)
  expect(order).toEqual([...left, ...right].map(({ text }) => text.split(' ')[0]))
})

test('a table is told from columns and keeps its rows', async () => {
  const rows = [
    ['Item', 'Count', 'Price'],
    ['Apple', '12', '3.50'],
    ['Pear', '7', '4.25'],
    ['Plum', '40', '0.90'],
  ]
  const cells = rows.flatMap((row, line) => row.map((text, index) => ({ text, x: 72 + index * 120, y: 600 - line * 14 })))
  const document = await read(makePdf([[...prose(1).slice(0, 3), ...cells, { text: 'The end of the page comes here.', x: 72, y: 500 }]]))
  expect(textsOf(document, 'table')).toEqual([
    '| Item | Count | Price |\n| --- | --- | --- |\n| Apple | 12 | 3.50 |\n| Pear | 7 | 4.25 |\n| Plum | 40 | 0.90 |',
  ])
})

test('what every page repeats at its edges is dropped, the pages are known', async () => {
  const pages = Array.from({ length: 4 }, (_, index): MadeText[] => [
    { text: 'Confidential report of the year', x: 72, y: 760 },
    ...prose(index + 1),
    { text: `Page ${index + 1} of 4`, x: 280, y: 30 },
  ])
  const document = await read(makePdf(pages))
  expect(document.text).not.toMatch(/Confidential|Page \d/)
  expect(blockWith(document, 'page3line0').page).toBe(3)
})

test('words broken at the end of a line are joined, those with a hyphen of their own keep it', async () => {
  const lines = [
    'This sentence is about an inter-',
    'national well-',
    'known treaty of long-',
    'term effect and a long explana-',
    'tion of it.',
  ]
  const document = await read(makePdf([lines.map((text, index) => ({ text, x: 72, y: 700 - index * 12 }))]))
  expect(document.text).toBe('This sentence is about an international well-known treaty of long-term effect and a long explanation of it.')
})

test('a short line in bold above text is a heading, as numbered lines are', async () => {
  const page = [
    { text: 'Safety rules', x: 72, y: 700, bold: true },
    ...column(72, 686, { lines: 6, name: 'A' }),
    { text: '2.1 Limits', x: 72, y: 590 },
    ...column(72, 570, { lines: 6, name: 'B' }),
  ]
  const document = await read(makePdf([page]))
  expect(blockWith(document, 'A3').headings).toEqual(['Safety rules'])
  expect(blockWith(document, 'B3').headings).toEqual(['Safety rules', '2.1 Limits'])
})

test('text from right to left is in logical order, with its Latin words in place', async () => {
  const document = await readFile('right_to_left_01.pdf')
  expect(document.text).toContain('تعتبر البرمجة بلغة R و Python من الأدوات القوية التي يمكن أن تعزز الإنتاجية')
})

test('an encrypted file whose password is empty is read, any other is refused and says what to do', async () => {
  const page = [{ text: 'The text inside of the encrypted file', x: 72, y: 700 }]
  expect((await read(makePdf([page], { password: '' }))).text).toBe('The text inside of the encrypted file')
  const locked = makePdf([page], { password: 'open' })
  expect(await codeOf(read(locked))).toBe('document_encrypted')
  expect(await codeOf(readFile('password.pdf'))).toBe('document_encrypted')
  await expect(read(locked)).rejects.toThrow('it opens only with a password')
  expect(hintOf('document_encrypted')).toBe('save it without a password')
})

/** A sentence of running text over several lines. */
const proseOf = {
  'copy-protected.pdf':
    'The core LayoutParser library comes with a set of simple and intuitive interfaces for applying and customizing DL models',
  'invalid-pdf-structure-pdfminer-one-page.pdf':
    'Federal agencies and our nation’s critical infrastructure— such as energy, communications, and financial services— depend on technology systems',
  'pdf-bad-color-space.pdf': 'At Google, we’re working to accelerate the transition to a carbon-free future.',
} as const

test.for([
  ['copy-protected.pdf', 2, 'LayoutParser: A Unified Toolkit for Deep Learning Based Document Image Analysis', 'Abstract', 'Keywords'],
  [
    'invalid-pdf-structure-pdfminer-one-page.pdf',
    2,
    'GAO-23-106826, Cybersecurity: Launching and Implementing the National Cybersecurity Strategy',
    'In March 2023, the White House issued the National Cybersecurity Strategy',
    'Opportunities',
  ],
  [
    'pdf-bad-color-space.pdf',
    1,
    'Net-zero carbon',
    'We aim to achieve net-zero emissions across all of our operations and value chain by 2030',
    'Charting our path',
  ],
] as const)('%s is read although it is odd', async ([name, pages, title, early, late]) => {
  const document = await readFile(name)
  expect(document).toMatchObject({ pages, title, warnings: [] })
  expect(document.text.indexOf(early)).toBeGreaterThan(0)
  expect(document.text.indexOf(late)).toBeGreaterThan(document.text.indexOf(early))
  expect(new Set(document.blocks.map(({ page }) => page)).size).toBe(pages)
  expect(document.text).toContain(proseOf[name])
})

test('a page without a text layer is reported, a file without any needs OCR', async () => {
  const document = await read(makePdf([prose(1), [], prose(3)]))
  expect(document.warnings).toEqual(['page 2 has no text layer: needs OCR'])
  expect(blockWith(document, 'page3line0').page).toBe(3)
  expect(await codeOf(readFile('loremipsum-flat.pdf'))).toBe('document_needs_ocr')
})

test('400 pages are read, one more than the limit is refused before any is', async () => {
  const pages = Array.from({ length: 400 }, (_, index) => [{ text: `This is the text of page number ${index + 1}`, x: 72, y: 500 }])
  expect(blockWith(await read(makePdf(pages)), 'number 399').page).toBe(399)
  expect(await codeOf(read(makePdf(pages), { limits: { pages: 399 } }))).toBe('document_too_many_pages')
})

test.for([
  ['cut in half', documentBytes('multi_page.pdf').subarray(0, 30_000)],
  ['with nothing behind its mark', Buffer.from('%PDF-1.7\n')],
] as const)('a PDF %s is refused', async ([, bytes]) => {
  expect(['document_broken', 'document_needs_ocr']).toContain(await codeOf(read(bytes)))
})

test.for([1, 2_000])('a PDF of %i pages by its own words whose page tree is a circle is refused as damaged', async (claimed) => {
  await expect(read(cyclicPdf(0, claimed))).rejects.toMatchObject({
    code: 'document_broken',
    message: expect.stringContaining('page 1 is damaged'),
  })
})

test('pages before a circle in the page tree are read, and the circle is reported', async () => {
  const document = await read(cyclicPdf(1, 2_000))
  expect([document.text, document.pages, document.warnings]).toEqual(['The text of a page', 2, ['page 2 is damaged: left out']])
})
