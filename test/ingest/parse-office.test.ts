// DOCX, PPTX and XLSX: structure as its author made it, what is left out, and the containers and XML that want to do harm.

import { describe, expect, test } from 'vitest'
import { makeDocx, makeXlsx, makeZip } from './parse-made-zip.ts'
import { blockWith, codeOf, read, readFile, textsOf } from './parse-support.ts'

const paragraph = (text: string): string => `<w:p><w:r><w:t>${text}</w:t></w:r></w:p>`

describe('DOCX', () => {
  test('lists have their marks and their depth', async () => {
    const document = await readFile('docx_lists.docx')
    expect(document.title).toBe('Test Document')
    const lists = textsOf(document, 'list')
    expect(lists[0]).toBe('- List item 1\n- List item 2\n- List item 3')
    expect(lists[1]).toBe('1. List item a\n2. List item b\n3. List item c')
    expect(lists[2]).toBe('- List item 1\n- List item 2\n  - List item 1.1\n  - List item 1.2\n  - List item 1.3\n- List item 3')
    expect(blockWith(document, 'List item a').headings).toEqual(['Test Document', 'Test 2:'])
  })

  test('headings, lists and a table come in reading order', async () => {
    const document = await readFile('word_sample.docx')
    expect(blockWith(document, 'Blueberry').headings).toEqual(['Let’s swim!', 'Let’s eat'])
    expect(textsOf(document, 'table')).toEqual([
      '|  | Food | Calories per portion |\n| --- | --- | --- |\n| Leaves | Ash, Elm, Maple | 50 |\n| Berries | Blueberry, Strawberry, Cranberry | 150 |\n| Grain | Corn, Buckwheat, Barley | 200 |',
    ])
    const order = ['Summer activities', 'Swimming in the lake', 'Paddle about', 'Use sun cream', 'I like to eat leaves', 'Buckwheat']
    expect(order.map((part) => document.text.indexOf(part))).toEqual(
      order.map((part) => document.text.indexOf(part)).toSorted((a, b) => a - b),
    )
  })

  test('cells that reach over columns and rows are said in each of them', async () => {
    const tables = textsOf(await readFile('word_tables.docx'), 'table')
    expect(tables[1]).toContain('| Cell 1.0 | Merged Cell 1.1 1.2 | Merged Cell 1.1 1.2 |')
    expect(tables[3]).toContain('| Cell 2.0 | Merged Cell 1.1 2.1 | Cell 2.2 |')
  })

  test('nested tables and lists in cells become text of the cell', async () => {
    const document = await readFile('docx_rich_cells.docx')
    expect(document.text).toContain('Rich cell A nested table A, B, C Cell 1, Cell 2, Cell 3')
  })

  test('deleted and hidden text is left out, notes stand behind their paragraph, links show where they lead', async () => {
    const body =
      '<w:p><w:r><w:t>Kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:rPr><w:vanish/></w:rPr><w:t>canary</w:t></w:r>' +
      '<w:r><w:footnoteReference w:id="2"/></w:r><w:hyperlink r:id="h1"><w:r><w:t> link</w:t></w:r></w:hyperlink></w:p>'
    const relations =
      '<Relationships><Relationship Id="h1" Type="x/hyperlink" Target="https://example.com/a" TargetMode="External"/>' +
      '<Relationship Id="h2" Type="x/image" Target="file:///etc/passwd" TargetMode="External"/></Relationships>'
    const document = await read(
      makeDocx(body, [
        { name: 'word/_rels/document.xml.rels', data: relations },
        { name: 'word/footnotes.xml', data: `<w:footnotes><w:footnote w:id="2">${paragraph('The note.')}</w:footnote></w:footnotes>` },
      ]),
    )
    expect(textsOf(document)).toEqual(['Kept[2] link (https://example.com/a)', '[2] The note.'])
  })

  test('styles in other languages and outline levels make headings', async () => {
    const styles =
      '<w:styles><w:style w:styleId="H"><w:name w:val="heading 2"/></w:style><w:style w:styleId="Own"><w:name w:val="Mine"/><w:basedOn w:val="H"/></w:style></w:styles>'
    const body =
      '<w:p><w:pPr><w:outlineLvl w:val="0"/></w:pPr><w:r><w:t>One</w:t></w:r></w:p>' +
      `<w:p><w:pPr><w:pStyle w:val="Own"/></w:pPr><w:r><w:t>Two</w:t></w:r></w:p>${paragraph('Text')}`
    const document = await read(makeDocx(body, [{ name: 'word/styles.xml', data: styles }]))
    expect(blockWith(document, 'Text').headings).toEqual(['One', 'Two'])
  })
})

describe('PPTX', () => {
  test('slides are pages with title, tables, lists and notes', async () => {
    const document = await readFile('powerpoint_sample.pptx')
    expect(document.pages).toBe(3)
    expect(blockWith(document, 'A merged with B')).toMatchObject({ kind: 'table', page: 1, headings: ['Test Table Slide'] })
    expect(document.text).toContain('| R4 |  | True |  | True | False | False |')
    expect(textsOf(document, 'list')).toContain('- With foo\n- Bar\n- And baz things')
    expect(textsOf(document, 'list')).toContain('1. List item4\n2. List item5\n3. List item6')
    expect(blockWith(document, 'Notes: Some notes on the second slide.').page).toBe(2)
  })

  test('the numbers behind a chart are a table', async () => {
    const document = await readFile('pptx_chart.pptx')
    expect(document.title).toBe('Quarterly Duck Survey')
    expect(textsOf(document, 'table')[0]).toContain('| 2021 | 150 | 110 |')
  })
})

describe('XLSX', () => {
  test('each row says its columns; sheets are pages, hidden ones are left out', async () => {
    const document = await readFile('xlsx_01.xlsx')
    expect(textsOf(document, 'row').slice(0, 2)).toEqual(['first: 1; second: 5; third: 9', 'first: 2; second: 4; third: 6'])
    expect(blockWith(document, 'col-4').page).toBe(2)
    expect(document.warnings).toEqual(['sheet "Sheet4" is hidden: left out'])
  })

  test('tables that stand apart have headers of their own, and a header of two rows is joined', async () => {
    const rows = textsOf(await readFile('xlsx_01.xlsx'), 'row')
    expect(rows).toContain('col-1: 8; col-2: 16; col-3: 24; col-4: 32')
    expect(rows.filter((row) => row === 'col-1: 4; col-2: 8; col-3: 12')).toHaveLength(2)
    expect(rows).toContain('first: 1; header / second: 2; header / third: 3')
  })

  test('titles above a table are no header, and an empty corner is none either', async () => {
    const catalogue = await readFile('xlsx_09_section_label_header.xlsx')
    expect(textsOf(catalogue, 'paragraph')).toEqual(['Reading List'])
    expect(textsOf(catalogue, 'row')[0]).toBe(
      '#: 1; Genre: Fiction; Sub-Genre: Mystery; Title: The Hound of the Baskervilles; Author: Arthur Conan Doyle; Publisher: George Newnes; Added: 1902',
    )
    const edges = await readFile('xlsx_06_edge_cases_.xlsx')
    expect(textsOf(edges, 'row')[0]).toMatch(/^Overview; Sub-category: Purpose and Use Cases; ID: AI 1; /)
    expect(textsOf(edges, 'row').at(-1)).toBe('G1: Overview 2; H1: Purpose 2; I3: Extra 2')
  })

  test('dates, percents, truth values and long numbers are written as they mean', async () => {
    const styles =
      '<styleSheet><numFmts><numFmt numFmtId="170" formatCode="dd\\.mm\\.yyyy hh:mm"/><numFmt numFmtId="171" formatCode="0.0 &quot;days&quot;"/></numFmts>' +
      '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="10"/><xf numFmtId="170"/><xf numFmtId="171"/></cellXfs></styleSheet>'
    const text = (reference: string, value: string): string => `<c r="${reference}" t="inlineStr"><is><t>${value}</t></is></c>`
    const rows =
      `<row r="1">${text('A1', 'date')}${text('B1', 'share')}${text('C1', 'at')}${text('D1', 'sum')}${text('E1', 'ok')}${text('F1', 'wait')}</row>` +
      '<row r="2"><c r="A2" s="1"><v>45292</v></c><c r="B2" s="2"><v>0.125</v></c><c r="C2" s="3"><v>45292.5</v></c><c r="D2"><v>0.30000000000000004</v></c><c r="E2" t="b"><v>1</v></c><c r="F2" s="4"><v>2.5</v></c></row>'
    const document = await read(makeXlsx(rows, [{ name: 'xl/styles.xml', data: styles }]))
    expect(textsOf(document, 'row')).toEqual(['date: 2024-01-01; share: 12.5%; at: 2024-01-01 12:00:00; sum: 0.3; ok: true; wait: 2.5'])
  })

  test('cells far away and merges of a million rows cost nothing', async () => {
    const rows = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    const merges = '</sheetData><mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells><sheetData>'
    expect(textsOf(await read(makeXlsx(rows + merges)), 'row')).toEqual(['1; 1', '1; 2'])
  })
})

describe('hostile containers', () => {
  const filler = Buffer.alloc(20_000_000, '<w:p/>')

  test('a part that unpacks to hundreds of times its size is refused', async () => {
    expect(await codeOf(read(makeDocx(filler.toString())))).toBe('document_bomb')
  })

  test('a part that lies about its size is refused while it unpacks', async () => {
    const bomb = makeZip([
      { name: '[Content_Types].xml', data: '<Types/>' },
      { name: 'word/document.xml', data: filler, declaredBytes: 1_000 },
    ])
    expect(['document_bomb', 'document_broken']).toContain(await codeOf(read(bomb)))
  })

  test('a large part that nobody reads is not unpacked', async () => {
    const document = await read(makeDocx(paragraph('Small'), [{ name: 'word/media/image1.bin', data: Buffer.alloc(50_000_000) }]))
    expect(document.text).toBe('Small')
  })

  test('too many parts, two of one name and encrypted parts are refused', async () => {
    const many = Array.from({ length: 1_001 }, (_, index) => ({ name: `word/${index}.xml`, data: '' }))
    expect(await codeOf(read(makeDocx('', many)))).toBe('document_bomb')
    expect(await codeOf(read(makeDocx('', [{ name: 'word/document.xml', data: '' }])))).toBe('document_broken')
    expect(await codeOf(read(makeDocx('', [{ name: 'word/styles.xml', data: '', flags: 1 }])))).toBe('document_encrypted')
  })

  test('a zip in a zip is never opened', async () => {
    const inner = makeZip([{ name: 'a', data: Buffer.alloc(5_000_000) }])
    expect((await read(makeDocx(paragraph('Outer'), [{ name: 'word/embeddings/inner.zip', data: inner }]))).text).toBe('Outer')
  })

  test.for([
    ['nested 100,000 deep', '<w:p>'.repeat(100_000)],
    ['with 300 levels that close', `${'<w:sdt><w:sdtContent>'.repeat(150)}${'</w:sdtContent></w:sdt>'.repeat(150)}`],
    ['that breaks off', '<w:p><w:r>'],
  ] as const)('XML %s is refused', async ([, body]) => {
    expect(await codeOf(read(makeDocx(body)))).toBe('document_broken')
  })

  test('billions of laughs and entities of files are refused at the document type', async () => {
    const laughs = `<!DOCTYPE l [<!ENTITY a "${'ha'.repeat(100)}">${Array.from({ length: 9 }, (_, i) => `<!ENTITY a${i} "${`&a${i === 0 ? '' : i - 1};`.repeat(10)}">`).join('')}]><w:document><w:body><w:p><w:r><w:t>&a8;</w:t></w:r></w:p></w:body></w:document>`
    const file =
      '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><w:document><w:body><w:p><w:r><w:t>&a;</w:t></w:r></w:p></w:body></w:document>'
    for (const data of [laughs, file])
      expect(
        await codeOf(
          read(
            makeZip([
              { name: '[Content_Types].xml', data: '<Types/>' },
              { name: 'word/document.xml', data },
            ]),
          ),
        ),
      ).toBe('document_broken')
  })

  test('a million short paragraphs stop at the limit of blocks', async () => {
    const body = Array.from(
      { length: 250_000 },
      (_, index) => `<w:p><w:r><w:t>${(index * 2_654_435_761) % 4_294_967_296}</w:t></w:r></w:p>`,
    ).join('')
    expect(await codeOf(read(makeDocx(body)))).toBe('document_too_large')
  })

  test('a cut off file is refused', async () => {
    expect(await codeOf(read(makeDocx(paragraph('x')).subarray(0, 200)))).toBe('document_broken')
  })
})
