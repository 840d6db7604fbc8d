// Documents that want to do something: run, fetch, open a file, be two things at once. Each is text and nothing else, or refused with a reason.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makePdf } from './parse-made-pdf.ts'
import { makeDocx, makeZip, officeFormats } from './parse-made-zip.ts'
import { codeOf, read, textsOf } from './parse-support.ts'

/** Where everything points that could be fetched. */
let address = ''
let calls = 0
const server = createServer((_, response) => {
  calls += 1
  response.end('canary')
})
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  calls = 0
})
afterAll(() => {
  server.close()
})

describe('PDF', () => {
  const page = [{ text: 'The text of the only page', x: 72, y: 700 }]

  test('scripts and actions are not run and not read', async () => {
    const catalog =
      `/OpenAction << /S /JavaScript /JS (app.alert\\("canary"\\); this.submitForm\\("${address}"\\)) /Next << /S /URI /URI (${address}/canary) >> >> ` +
      `/AA << /WC << /S /Launch /F (canary.exe) >> >> /Names << /JavaScript << /Names [(canary) << /S /JavaScript /JS (canary) >>] >> >>`
    const document = await read(makePdf([page], { catalog }))
    expect([document.text, document.warnings, calls]).toEqual(['The text of the only page', [], 0])
  })

  test('files within are named to the owner, and never unpacked', async () => {
    // Behind the name is no file at all: who tried to unpack it would fail.
    const file = (name: string): string => `(${name}) << /Type /Filespec /F (${name}) /EF << /F 1 0 R >> >>`
    const names = Array.from({ length: 60 }, (_, index) => `f${String(index).padStart(2, '0')}.exe`)
    const catalog = `/Names << /EmbeddedFiles << /Names [${names.map(file).join(' ')}] >> >>`
    const document = await read(makePdf([page], { catalog }))
    expect(document.text).toBe('The text of the only page')
    expect(document.warnings).toHaveLength(50)
    expect(document.warnings[0]).toBe('attachment "f00.exe" is not read: upload it on its own')
  })

  test.for(['0 0 1000000000 1000000000', '0 0 0 0', '-1e38 -1e38 1e38 1e38', '0 0 1e-9 1e-9'])(
    'a page of the size [%s] costs nothing: it is never drawn',
    async (mediaBox) => {
      expect((await read(makePdf([page], { mediaBox }))).text).toBe('The text of the only page')
    },
  )
})

describe('two types at once', () => {
  const pdf = makePdf([[{ text: 'The text of the page', x: 72, y: 700 }]])
  const docx = makeDocx('<w:p><w:r><w:t>The text of the letter</w:t></w:r></w:p>')
  const html = '<html><body><p>The text of the web page</p></body></html>'

  test.for([
    ['a PDF with a DOCX behind', Buffer.concat([pdf, docx]), 'application/pdf', 'The text of the page'],
    ['a PDF with a web page behind', Buffer.concat([pdf, Buffer.from(html)]), 'application/pdf', 'The text of the page'],
    [
      'a web page with a PDF within',
      Buffer.concat([Buffer.from('<html><!-- '), pdf, Buffer.from(` -->${html}`)]),
      'application/pdf',
      'The text of the page',
    ],
    [
      'a DOCX with a PDF behind',
      Buffer.concat([docx.subarray(0, -22), withComment(docx.subarray(-22), pdf)]),
      'wordprocessingml',
      'The text of the letter',
    ],
  ] as const)('%s is read as one of them, whatever its name', async ([, bytes, type, text]) => {
    for (const name of ['a.pdf', 'a.docx', 'a.html', 'a']) {
      const document = await read(bytes, { name })
      expect([document.contentType, document.text]).toEqual([expect.stringContaining(type), text])
    }
  })

  test('a zip that is no document is refused, and so is one with a web page before it', async () => {
    const zip = makeZip([{ name: 'a.exe', data: 'MZ' }])
    expect(await codeOf(read(zip, { name: 'a.pdf' }))).toBe('document_unsupported')
    expect(await codeOf(read(Buffer.concat([Buffer.from(html), zip]), { name: 'a.html' }))).toBe('document_unsupported')
  })

  /** The end of a zip's directory with `bytes` as its comment. */
  function withComment(end: Buffer, bytes: Buffer): Buffer {
    const longer = Buffer.concat([end, bytes])
    longer.writeUInt16LE(bytes.length, 20)
    return longer
  }
})

describe.for(officeFormats)('%s', ([, make]) => {
  test('a link to a file in the container is refused', async () => {
    const withPart = (mode: number) => read(make([{ name: 'docProps/app.xml', data: '/etc/passwd', mode }]))
    await expect(withPart(0o120777)).rejects.toMatchObject({
      code: 'document_broken',
      message: expect.stringMatching(/link.*save it anew/),
    })
    expect((await withPart(0o100644)).text).toContain('Seen.')
  })

  test.for(['../../evil.xml', 'docProps/../../evil.xml', '/etc/cron.d/evil', 'C:/evil.xml', 'C:\\evil.xml', String.raw`..\..\evil.xml`])(
    'a part called %s is refused',
    async (name) => {
      const reading = read(make([{ name, data: 'x' }]))
      await expect(reading).rejects.toMatchObject({ code: 'document_broken', message: expect.stringContaining('save it anew') })
    },
  )
})

describe('DOCX', () => {
  const seen = '<w:p><w:r><w:t>Seen.</w:t></w:r></w:p>'

  test('pictures, templates and parts that stand elsewhere are not opened', async () => {
    const picture = (id: string): string => `<w:p><w:r><w:drawing><a:blip r:link="${id}"/><a:blip r:embed="${id}"/></w:drawing></w:r></w:p>`
    const targets = ['file:///etc/passwd', '/etc/passwd', '../../../../etc/passwd', `${address}/a.png`]
    const relations = targets.map(
      (target, index) => `<Relationship Id="r${index}" Type="x/image" Target="${target}" TargetMode="External"/>`,
    )
    const kinds = ['footnotes', 'styles', 'numbering', 'attachedTemplate', 'subDocument']
    const outside = kinds.map((kind) => `<Relationship Id="${kind}" Type="x/${kind}" Target="file:///etc/passwd" TargetMode="External"/>`)
    const body = `${seen}${targets.map((_, index) => picture(`r${index}`)).join('')}<w:subDoc r:id="subDocument"/><w:altChunk r:id="r0"/>`
    const document = await read(
      makeDocx(body, [
        { name: 'word/_rels/document.xml.rels', data: `<Relationships>${[...relations, ...outside].join('')}</Relationships>` },
      ]),
    )
    expect([document.text, calls]).toEqual(['Seen.', 0])
  })
})

describe('HTML and SVG', () => {
  test('nothing is followed, fetched or run, and addresses that hold their own content are not text', async () => {
    const page = `<html><head><meta http-equiv="refresh" content="0;url=${address}/canary"><base href="javascript:canary/">
      <link rel="stylesheet" href="${address}/canary.css"><script src="${address}/canary.js"></script></head><body onload="canary()"><p>Seen.</p>
      <p><a href="data:text/html,canary">one</a> <a href="javascript:canary()">two</a> <a href="vbscript:canary">three</a></p>
      <img src="data:image/svg+xml,canary" alt=""><img src="${address}/canary.png"><object data="data:text/plain,canary">canary</object>
      <iframe srcdoc="<p>canary</p>" src="${address}/canary"></iframe><embed src="${address}/canary"><video poster="${address}/canary"></video>
      <form action="${address}/canary"><input value="canary"><textarea>canary</textarea></form></body></html>`
    const document = await read(page)
    expect([textsOf(document), calls]).toEqual([['Seen.', 'one two three'], 0])
  })

  test('a drawing of its own is its words', async () => {
    const drawing = `<?xml version="1.0"?><?xml-stylesheet href="${address}/canary.css"?><svg xmlns="http://www.w3.org/2000/svg" onload="canary()">
      <script href="${address}/canary.js">canary()</script><image href="${address}/canary.png"/><use href="file:///etc/passwd#canary"/>
      <a href="javascript:canary()"><text>Seen.</text></a><set attributeName="href" to="javascript:canary()"/>
      <foreignObject><iframe src="${address}/canary">canary</iframe><p>Also seen.</p></foreignObject></svg>`
    const document = await read(drawing, { name: 'a.svg', declaredType: 'image/svg+xml' })
    expect([textsOf(document), calls]).toEqual([['Seen.', 'Also seen.'], 0])
  })

  test.for([
    ['with entities', '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg><text>&a;</text></svg>'],
    ['with an entity of nobody', '<svg><text>&canary;</text></svg>'],
    ['of 300 levels', `<svg>${'<g>'.repeat(300)}<text>x</text>${'</g>'.repeat(300)}</svg>`],
    ['that breaks off', '<svg><text>x</text>'],
  ])('a drawing %s is refused', async ([, drawing]) => {
    expect(await codeOf(read(drawing ?? '', { name: 'a.svg', declaredType: 'image/svg+xml' }))).toBe('document_broken')
  })
})

/** Each took many seconds where a pattern began again at every tag, name, comment or word. */
describe('what is hidden is looked for in little time', () => {
  const sheet = (css: string): string => `<html><head><style>${css}</style></head><body><p>Seen.</p></body></html>`

  test.for([
    ['tags that are left open', 'a.md', `<div>\n${'<a '.repeat(100_000)}\n\nSeen.`],
    ['a name without an end', 'a.md', `<div>\n<${'a'.repeat(300_000)}"\n\nSeen.`],
    ['quotes that are left open', 'a.md', `<div>\n${`<a "' `.repeat(70_000)}\n\nSeen.`],
    ['code over lines', 'a.md', `${'`a\nb` '.repeat(60_000)}<b>Seen.</b>`],
    ['code over lines of a quote', 'a.md', `${'> `a\n> b` c\n'.repeat(40_000)}> <b>Seen.</b>`],
    ['code of backticks behind more of them', 'a.md', `${'`'.repeat(150_000)} x \` ${'`'.repeat(100_000)}z \` <b>Seen.</b>`],
    ['one tag in many titles of links', 'a.md', `${'[x](/u "<b>") <b>'.repeat(20_000)}Seen.`],
    ['bars in cells', 'a.md', `| A |\n|---|\n${`| ${'\\|<b>'.repeat(500)} |\n`.repeat(100)}\nSeen.`],
    ['a sheet of rules that never begin', 'a.html', sheet('@'.repeat(300_000))],
    ['a sheet of comments that never end', 'a.html', sheet('/* a '.repeat(60_000))],
    ['a sheet of one word', 'a.html', sheet('a'.repeat(500_000))],
  ])('%s', async ([, name = '', source = '']) => {
    const began = process.threadCpuUsage()
    expect((await read(source, { name })).text).toContain('Seen.')
    const { user, system } = process.threadCpuUsage(began)
    expect((user + system) / 1_000).toBeLessThan(1_000)
  })
})

describe('e-mail', () => {
  /** Parts in parts, the text in the innermost. */
  function nested(levels: number): string {
    const head = 'From: a@b.c\r\nTo: d@e.f\r\nSubject: S\r\nMIME-Version: 1.0\r\n'
    let part = 'Content-Type: text/plain\r\n\r\nThe innermost words.\r\n'
    for (let level = levels; level > 0; level -= 1)
      part = `Content-Type: multipart/mixed; boundary=b${level}\r\n\r\n--b${level}\r\n${part}--b${level}--\r\n`
    return head + part
  }

  test('parts in parts are read, up to a depth that no mail has', async () => {
    expect(textsOf(await read(nested(10), { name: 'a.eml' }))).toContain('The innermost words.')
    expect(await codeOf(read(nested(30), { name: 'a.eml' }))).toBe('document_broken')
    expect(await codeOf(read(nested(20_000), { name: 'a.eml' }))).toBe('document_broken')
  })

  test('a form that came by HTTP is no mail', async () => {
    const form =
      '--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nWords.\r\n--c--\r\n--b--\r\n'
    expect((await read(form)).contentType).toBe('text/plain')
  })
})
