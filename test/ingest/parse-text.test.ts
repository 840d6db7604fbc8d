// Text formats: Markdown, plain text, code, JSON, CSV, HTML, e-mail, XML. What stays the author's own text, what is found, what is dropped.

import { expect, test } from 'vitest'
import { blockWith, codeOf, read, readFile, textsOf } from './parse-support.ts'

test('Markdown is its own text, with headings above each block', async () => {
  const source =
    '---\ntitle: "The guide"\n---\n# One\n\nFirst.\n\n## Two\n\n- a\n- b\n\n```js\nlet x = 1\n\nlet y = 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n'
  const document = await read(source, { name: 'guide.md' })
  expect(document.text).toBe(source)
  expect(document.title).toBe('The guide')
  expect(document.blocks.map(({ kind }) => kind)).toEqual(['heading', 'paragraph', 'heading', 'list', 'code', 'table'])
  expect(blockWith(document, 'let y').headings).toEqual(['One', 'Two'])
  expect(textsOf(document, 'code')).toEqual(['```js\nlet x = 1\n\nlet y = 2\n```'])
})

test('Markdown without front matter takes its first heading as title', async () => {
  const document = await readFile('duck.md')
  expect(document.title).toBe('Swimming in the lake')
  expect(blockWith(document, 'Blueberry').kind).toBe('table')
  expect(blockWith(document, 'Blueberry').headings).toEqual(['Swimming in the lake', 'Let’s eat'])
})

test('plain text is cut at blank lines, lists and underlined headings are seen', async () => {
  const document = await read('Report\n======\n\nFirst paragraph\nof two lines.\n\n1. one\n2. two\n', { name: 'a.txt' })
  expect(document.blocks.map(({ kind }) => kind)).toEqual(['heading', 'paragraph', 'list'])
  expect(textsOf(document)[1]).toBe('First paragraph\nof two lines.')
  expect(document.title).toBe('Report')
})

test('code is cut before a definition at the left margin and keeps its lines', async () => {
  const body = Array.from({ length: 10 }, (_, line) => `    step(${line})`).join('\n')
  const source = `import os\n\ndef first():\n${body}\n\ndef second():\n${body}\n`
  const document = await read(source, { name: 'a.py' })
  expect(document.contentType).toBe('text/x-python')
  expect(document.blocks.map(({ kind }) => kind)).toEqual(['code', 'code'])
  expect(textsOf(document)[1]).toMatch(/^def second\(\):\n {4}step\(0\)/)
})

test('JSON becomes a block for each item with a line for each value', async () => {
  const items = [
    { name: 'Rome', place: { country: 'Italy', tags: ['old', 'large'] } },
    { name: 'Oslo', places: [{ id: 1 }] },
  ]
  const document = await read(JSON.stringify(items), { name: 'x' })
  expect(textsOf(document)).toEqual(['name: Rome\nplace.country: Italy\nplace.tags: old, large', 'name: Oslo\nplaces[0].id: 1'])
  expect(document.contentType).toBe('application/json')
})

test('JSON Lines are told from JSON, and a broken line is skipped with a warning', async () => {
  const document = await read('{"a":1}\n{"a":2}\n{broken\n', { name: 'x.jsonl' })
  expect(textsOf(document)).toEqual(['a: 1', 'a: 2'])
  expect(document.warnings).toEqual(['line 3 is not JSON: skipped'])
  expect((await read('{"a":1}\n{"a":2}\n', { name: 'x' })).contentType).toBe('application/x-ndjson')
})

test.each([
  ['JSON', 'x.json', '[{"id": 1234567890123456789, "price": 19.90, "mass": [1e21, -0, 0.10, 1E-7]}, {"id": 1234567890123456788}]'],
  ['JSON Lines', 'x.jsonl', '{"id": 1234567890123456789, "price": 19.90, "mass": [1e21, -0, 0.10, 1E-7]}\n{"id": 1234567890123456788}\n'],
])('numbers of %s stand as they are written', async (_, name, source) => {
  expect(textsOf(await read(source, { name }))).toEqual([
    'id: 1234567890123456789\nprice: 19.90\nmass: 1e21, -0, 0.10, 1E-7',
    'id: 1234567890123456788',
  ])
})

test('JSON that breaks off or nests without end is refused', async () => {
  expect(await codeOf(read('{"a": [1, 2', { name: 'x.json' }))).toBe('document_broken')
  expect(await codeOf(read('['.repeat(5_000) + ']'.repeat(5_000), { name: 'x.json' }))).toBe('document_broken')
})

test.for(['csv-comma.csv', 'csv-semicolon.csv'])('%s: the delimiter and the header are found', async (name) => {
  const document = await readFile(name, { name: 'upload' })
  expect(document.contentType).toBe('text/csv')
  expect(textsOf(document, 'row')).toHaveLength(5)
  expect(textsOf(document, 'row')[0]).toMatch(/^Index: 1; Customer Id: DD37Cf93aecA6Dc; First Name: Sheryl; Last Name: Baxter; /)
})

test('CSV keeps quoted delimiters and line ends, takes tabs, and reports odd rows', async () => {
  const document = await read('a\tb\tc\n1\t"x\ty"\t3\n1\t"two\nlines"\t3\n7\t8\n', { name: 'x.tsv' })
  expect(textsOf(document, 'row')).toEqual(['a: 1; b: x y; c: 3', 'a: 1; b: two lines; c: 3', 'a: 7; b: 8'])
  expect(document.warnings).toEqual(['1 rows have another number of fields than the header'])
})

test('CSV of numbers has no header', async () => {
  expect(textsOf(await read('1,2,3\n4,5,6\n7,8,9\n', { name: 'x.csv' }), 'row')).toEqual(['1; 2; 3', '4; 5; 6', '7; 8; 9'])
})

test('HTML gives its main content with links, lists, code and tables', async () => {
  const page = `<html><head><title>Docs</title></head><body><nav><a href="/x">Menu</a></nav><main><h1>Install</h1>
    <p>Get it from <a href="https://example.com/get">the site</a> or <a href="#here">below</a>.</p>
    <ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul><pre>npm i\n  x</pre>
    <table><tr><th>A</th><th colspan=2>B</th></tr><tr><td rowspan=2>1</td><td>2</td><td>3</td></tr><tr><td>4</td><td>5</td></tr></table>
    <h2>More</h2><blockquote>Said.</blockquote></main><footer>Imprint</footer></body></html>`
  const document = await read(page, { name: 'x' })
  expect(document.title).toBe('Docs')
  expect(textsOf(document)).toEqual([
    'Install',
    'Get it from the site (https://example.com/get) or below.',
    '- one\n  - inner\n- two',
    'npm i\n  x',
    '| A | B | B |\n| --- | --- | --- |\n| 1 | 2 | 3 |\n| 1 | 4 | 5 |',
    'More',
    'Said.',
  ])
  expect(blockWith(document, 'Said').headings).toEqual(['Install', 'More'])
})

const words = 'The pump is started with the green switch, and stopped with the red one beside it. '.repeat(8)

test('a note of two hundred thousand parts is read as any other', async () => {
  const { text } = await read(`<html><body><main><h1>Pump</h1><aside class="note">${'a<br>'.repeat(100_000)}</aside></main></body></html>`)
  expect(text.match(/a/g)).toHaveLength(100_000)
})

test.each([
  ['a main part', (text: string) => `<main><h1>Pump</h1>${text}</main>`],
  ['an article', (text: string) => `<article><h1>Pump</h1>${text}</article>`],
  ['neither', (text: string) => `<div id="content"><h1>Pump</h1>${text}</div>`],
])('warnings in asides of HTML with %s are kept, sidebars are dropped, and pictures are told by their text', async (what, page) => {
  const aside =
    '<aside aria-label="Caution" class="starlight-aside starlight-aside--caution"><p>Caution</p><p>Never run it dry.</p></aside>'
  const note = '<aside role="note"><p>Mind the valve.</p></aside>'
  const plain = '<aside><p>See page nine.</p></aside>'
  const picture = '<p>The panel: <img src="a.png" alt="two  switches"> as <img src="b.png" alt=""> built.</p>'
  const { text } = await read(
    `<html><body><aside class="sidebar"><p>All products</p></aside>${page(`<p>${words}</p>${aside}<p>${words}</p>${note}${plain}${picture}`)}<aside><p>Offers</p></aside></body></html>`,
  )
  expect(text).toContain('Caution')
  expect(text).toContain('Never run it dry.')
  expect(text.indexOf('dry.')).toBeLessThan(text.indexOf('Mind the valve.'))
  expect(text).toContain('The panel: two switches as built.')
  expect(text).not.toMatch(/All products|Offers/)
  expect(text.includes('See page nine.')).toBe(what === 'an article')
})

test('HTML that nobody sees is dropped', async () => {
  const hidden = [
    '<!-- canary -->',
    '<script>canary</script>',
    '<div hidden>canary</div>',
    '<p style="font-size:0">canary</p>',
    '<p style="DISPLAY : none">canary</p>',
    '<span aria-hidden="true">canary</span>',
    '<p class="ghost">canary</p>',
    '<noscript>canary</noscript>',
    '<svg><text>canary</text></svg>',
    '<p style="position:absolute;left:-9999px">canary</p>',
    '<template><p>canary</p></template>',
  ]
  const document = await read(
    `<html><head><style>@media print{.seen{display:none}} .ghost { color: red; display: none }</style></head><body>${hidden.join('')}<p class="seen">Seen text.</p></body></html>`,
  )
  expect(document.text).toBe('Seen text.')
})

test('HTML without a marked main part is read by what Readability finds, else whole', async () => {
  const prose = Array.from(
    { length: 8 },
    (_, index) => `<p>${`Sentence ${index} of the story goes on, and on, and on. `.repeat(4)}</p>`,
  ).join('')
  const menu = `<div class="sidebar menu">${'<a href="/a">Link</a> '.repeat(30)}</div>`
  const story = await read(`<html><body>${menu}<div id="content"><h2>Story</h2>${prose}</div></body></html>`)
  expect(story.text).toContain('Sentence 7 of the story')
  expect(story.text).not.toContain('Link Link')
  expect((await read('<html><body><div>Short note.</div></body></html>')).text).toBe('Short note.')
})

test.for(['html_code_snippets.html', 'html_rich_table_cells.html'])('%s is read', async (name) => {
  const document = await readFile(name)
  expect(document.contentType).toBe('text/html')
  const kinds = new Set(document.blocks.map(({ kind }) => kind))
  expect(kinds.has(name.includes('code') ? 'code' : 'table')).toBe(true)
})

test('an e-mail gives subject, people, date and text; attachments are named', async () => {
  const mail = [
    'From: "Ann Smith" <ann@example.com>',
    'To: bob@example.com',
    'Subject: =?utf-8?B?w5xiZXJnYWJl?=',
    'Date: Mon, 2 Mar 2026 10:00:00 +0000',
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary=b',
    '',
    '--b',
    'Content-Type: text/plain; charset=iso-8859-1',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'Gr=FC=DFe aus K=F6ln',
    '',
    '> Earlier words',
    '--b',
    'Content-Type: application/pdf',
    'Content-Disposition: attachment; filename="plan.pdf"',
    'Content-Transfer-Encoding: base64',
    '',
    'AAAA',
    '--b--',
    '',
  ].join('\r\n')
  const document = await read(mail, { name: 'x.bin' })
  expect(document.title).toBe('Übergabe')
  expect(document.text).toContain('From: Ann Smith <ann@example.com>\nTo: bob@example.com\nDate: 2026-03-02T10:00:00')
  expect(document.text).toContain('Grüße aus Köln')
  expect(textsOf(document, 'quote')).toEqual(['> Earlier words'])
  expect(document.warnings).toEqual(['attachment "plan.pdf" (application/pdf, 3 bytes) is not read: upload it on its own'])
})

test('an e-mail of HTML only is read as HTML', async () => {
  const mail = 'From: a@b.c\nTo: d@e.f\nSubject: S\nContent-Type: text/html\n\n<p>Hello <b>you</b></p><p style="display:none">canary</p>'
  const document = await read(mail, { name: 'x.eml' })
  expect(textsOf(document).at(-1)).toBe('Hello you')
})

test('XML gives its texts and loads nothing', async () => {
  const document = await read('<?xml version="1.0"?><feed><entry><title>One</title><summary>First &amp; last</summary></entry></feed>')
  expect(document.text).toBe('One\nFirst & last')
  expect(await codeOf(read('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'))).toBe(
    'document_broken',
  )
})

test('characters that nobody sees are taken out of every format', async () => {
  const tags = String.fromCodePoint(0xe0041, 0xe0042)
  const sly = `visible\u200b\u202e${tags}\u2066 text\ufeff`
  for (const source of [
    `${sly}\n`,
    `# ${sly}\n`,
    `<html><body><p>${sly}</p></body></html>`,
    JSON.stringify({ a: sly }),
    `a,b,c\n${sly},2,3\nx,y,z\n`,
  ])
    expect((await read(source)).text).toContain('visible text')
  expect((await read('نمی\u200cخواهم 👩\u200d🚀 fi\u200dx')).text).toBe('نمی\u200cخواهم 👩\u200d🚀 fix')
})

test('a document without a visible character is empty', async () => {
  expect(await codeOf(read(''))).toBe('document_empty')
  expect(await codeOf(read(' \n\u200b\n'))).toBe('document_empty')
  expect(await codeOf(read('<html><body><p hidden>x</p></body></html>'))).toBe('document_empty')
})
