// What nobody sees of a page, a drawing or a text is in no block and in no chunk: hidden words reach a model only to deceive it.

import { describe, expect, test } from 'vitest'
import { chunkDocument, chunkingDefaults } from '../../src/ingest/chunk.ts'
import { TokenEstimates } from '../../src/ingest/token-estimate.ts'
import { makeDocx, makeZip } from './parse-made-zip.ts'
import { read, textsOf } from './parse-support.ts'

describe('SVG', () => {
  const drawing = (inner: string): string => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">${inner}<text>Seen.</text></svg>`

  test.for([
    '<text display="none">canary</text>',
    '<g display="none"><g><text>canary</text></g></g>',
    '<text visibility="hidden">canary</text>',
    '<text visibility="collapse">canary</text>',
    '<text opacity="0">canary</text>',
    '<text fill-opacity="0.0">canary</text>',
    '<text font-size="0">canary</text>',
    '<text style="fill:red;display:none">canary</text>',
    '<text x="-9999">canary</text>',
    '<text transform="scale(0)">canary</text>',
    '<text aria-hidden="true">canary</text>',
    '<style>.ghost { display: none } text#off { visibility: hidden }</style><text class="a ghost">canary</text><text id="off">canary</text>',
    '<style><![CDATA[ .canary {} ]]></style><script>canary()</script><metadata>canary</metadata>',
    '<defs><text>canary</text></defs><symbol><text>canary</text></symbol><clipPath><text>canary</text></clipPath>',
    '<svg style="display:none"><text>canary</text></svg>',
    '<foreignObject><p hidden="">canary</p><p style="font-size:0px">canary</p></foreignObject>',
  ])('%s is not read', async (hidden) => {
    expect((await read(drawing(hidden), { name: 'a.svg' })).text).toBe('Seen.')
    expect((await read(`<?xml version="1.0"?><page><p>Above.</p>${drawing(hidden)}</page>`)).text).toBe('Above.\nSeen.')
  })

  test('what is drawn is read, with its title and description', async () => {
    const inner =
      '<title>Flow</title><desc>How it goes</desc><g fill="none" opacity="0.5" x="-12"><text fill="black">Start<tspan>End</tspan></text></g><svg><text>Inner</text></svg>'
    expect(textsOf(await read(drawing(inner), { name: 'a.svg' }))).toEqual(['Flow', 'How it goes', 'Start', 'End', 'Inner', 'Seen.'])
  })
})

describe('HTML', () => {
  test.for([
    '<p style="visibility:hidden">canary</p>',
    '<p style="visibility : collapse">canary</p>',
    '<p style="color:red; opacity:0">canary</p>',
    '<p style="font-size:0.0em">canary</p>',
    '<p style="font:0/0 a">canary</p>',
    '<p style="content-visibility:hidden">canary</p>',
    '<p style="height:0;overflow:hidden">canary</p>',
    '<p style="width: 0px; overflow: clip;">canary</p>',
    '<p style="clip-path:inset(50%)">canary</p>',
    '<p style="transform:scale(0)">canary</p>',
    '<p style="text-indent:-9999px">canary</p>',
    '<p hidden="until-found">canary</p>',
    '<style>p.ghost, #off { display: none }</style><p class="ghost">canary</p><p id="off">canary</p>',
  ])('%s is not read', async (hidden) => {
    expect((await read(`<html><body>${hidden}<p>Seen.</p></body></html>`)).text).toBe('Seen.')
  })

  test('what only looks like it is read', async () => {
    const shown = [
      '<p style="opacity:0.5">one</p>',
      '<p style="font-size:0.9em">two</p>',
      '<p style="max-height:0;overflow:hidden">three</p>',
      '<p style="overflow:hidden;height:10px">four</p>',
      '<p style="color:transparent;background-clip:text">five</p>',
      '<style>div.ghost { display: none }</style><p class="ghost">six</p>',
    ]
    expect(textsOf(await read(`<html><body>${shown.join('')}</body></html>`))).toEqual(['one', 'two', 'three', 'four', 'five', 'six'])
  })
})

describe('DOCX', () => {
  const styles = {
    name: 'word/styles.xml',
    data:
      '<w:styles><w:style w:styleId="Gone"><w:rPr><w:vanish/></w:rPr></w:style><w:style w:styleId="Child"><w:basedOn w:val="Gone"/></w:style>' +
      '<w:style w:styleId="Back"><w:basedOn w:val="Gone"/><w:rPr><w:vanish w:val="0"/></w:rPr></w:style></w:styles>',
  }
  const run = (text: string, properties = ''): string => `<w:r><w:rPr>${properties}</w:rPr><w:t>${text}</w:t></w:r>`
  const paragraph = (runs: string, properties = ''): string => `<w:p><w:pPr>${properties}</w:pPr>${runs}</w:p>`
  const cell = (inner: string): string => `<w:tc>${inner}</w:tc>`

  test('text that a run or a style hides is not read, in the body, in cells and in notes', async () => {
    const hidden = [
      paragraph(run('canary', '<w:vanish/>')),
      paragraph(run('canary', '<w:rStyle w:val="Child"/>')),
      paragraph(run('canary'), '<w:pStyle w:val="Gone"/>'),
    ]
    const row = `<w:tr>${cell(paragraph(run('One')))}${hidden.map(cell).join('')}${cell(paragraph(run('Two')))}</w:tr>`
    const shown = [
      paragraph(run('Back.', '<w:rStyle w:val="Back"/>') + '<w:r><w:footnoteReference w:id="2"/></w:r>'),
      paragraph(run('Own.', '<w:vanish w:val="0"/>'), '<w:pStyle w:val="Gone"/>'),
    ]
    const note = `<w:footnotes><w:footnote w:id="2">${hidden.join('')}${paragraph(run('Noted.'))}</w:footnote></w:footnotes>`
    const document = await read(
      makeDocx([...hidden, `<w:tbl>${row}${row}</w:tbl>`, ...shown].join(''), [styles, { name: 'word/footnotes.xml', data: note }]),
    )
    expect(document.text).not.toContain('canary')
    expect(textsOf(document, 'paragraph')).toEqual(['Back.[2]', '[2] Noted.', 'Own.'])
    expect(textsOf(document, 'table')[0]).toMatch(/One.*Two/)
  })
})

describe('PPTX', () => {
  test('shapes and groups that are out of sight are not read', async () => {
    const shape = (text: string, hidden = ''): string =>
      `<p:sp><p:nvSpPr><p:cNvPr id="1" name="x" ${hidden}/></p:nvSpPr><p:txBody><a:p><a:r><a:t>${text}</a:t></a:r></a:p></p:txBody></p:sp>`
    const group = `<p:grpSp><p:nvGrpSpPr><p:cNvPr id="2" name="g" hidden="true"/></p:nvGrpSpPr>${shape('canary')}</p:grpSp>`
    const slide = `<p:sld><p:cSld><p:spTree>${shape('canary', 'hidden="1"')}${group}${shape('Seen.', 'hidden="0"')}</p:spTree></p:cSld></p:sld>`
    const document = await read(
      makeZip([
        { name: '[Content_Types].xml', data: '<Types/>' },
        { name: 'ppt/presentation.xml', data: '<p:presentation><p:sldIdLst><p:sldId r:id="r1"/></p:sldIdLst></p:presentation>' },
        {
          name: 'ppt/_rels/presentation.xml.rels',
          data: '<Relationships><Relationship Id="r1" Type="x/slide" Target="slides/slide1.xml"/></Relationships>',
        },
        { name: 'ppt/slides/slide1.xml', data: slide },
      ]),
    )
    expect(document.text).toBe('Seen.')
  })
})

describe('Markdown', () => {
  test.for([
    ['a comment in a line', 'A <!-- canary --> word.'],
    ['a comment over lines', 'A word.\n\n<!-- canary\n\ncanary -->'],
    ['a comment that never ends', 'A word.\n\n<!-- canary\n\ncanary'],
    ['a comment in a quote', '> A <!-- can\n> canary --> word.'],
    ['a hidden element in a quote, over lines', '> A <b\n> hidden>canary</b> word.'],
    ['an open tag that names another', '<div hidden a<b>canary</div>\n\nA word.'],
    ['a hidden element behind one that is escaped', 'A \\<b hidden>\\</b> word. <b hidden>canary</b>'],
    ['a hidden element behind code over lines', '> A `<b hidden>\n> </b>` word. <b\n> hidden>canary</b>'],
    ['a hidden element in a cell behind bars', '| A |\n|---|\n| `\\|<b hidden></b>` word. <b title="\\|" hidden>canary</b> |'],
    ['a hidden element around an end tag in the words for a picture', 'A <b hidden>one ![</b>](/u) canary</b> word.'],
    ['a hidden element around an end tag in the title of a link', 'A <b hidden>one [x](/u "</b>") canary</b> word.'],
    ['a hidden element around an end tag in the target of a link', 'A <b hidden>one [x](</b\\>) canary</b> word.'],
    ['a hidden element around an end tag in the title of a picture', '> A <b hidden>one ![x](/u\n> "</b>") canary</b> word.'],
    ['a hidden element in a cell behind a title with a tag', '| A |\n|---|\n| \\|[x](/u "\\|<b hidden>") word. <b hidden>canary</b> |'],
    ['a hidden element around backticks', 'A <b hidden>``x` canary</b> word.'],
    ['a hidden element in the words of a link', 'A [<b hidden>canary</b> word.](/u "</b>")'],
    ['a hidden element in a line', 'A <span hidden>canary</span> word.'],
    ['a hidden element that is left open', 'A word. <span style="font-size:0">canary'],
    [
      'a hidden element in a list and a table',
      '- A <i aria-hidden="true">canary</i> word.\n\n| a |\n|---|\n| b <b style="opacity:0">canary</b> |',
    ],
    ['a hidden element around blocks', 'A word.\n\n<div style="display:none">\n\ncanary\n\n<div>canary</div>\n\n</div>\n\nMore.'],
    ['a drawing', 'A word.\n\n<svg><text>canary</text></svg>'],
    ['a script', 'A word.\n\n<script>\ncanary()\n</script>'],
    ['a definition that serves as a comment', 'A word.\n\n[//]: # (canary)\n\nMore.'],
  ])('%s is in no block and in no chunk', async ([, source]) => {
    const document = await read(`# Title\n\nBefore.\n\n${source}\n`, { name: 'a.md' })
    expect(document.text).toHaveLength(`# Title\n\nBefore.\n\n${source}\n`.length)
    const chunks = [...chunkDocument(document, { name: 'a.md', settings: chunkingDefaults, estimate: new TokenEstimates().of(null) })]
    expect(chunks.map(({ text, embedText }) => text + embedText).join('\n')).not.toContain('canary')
    expect(document.text).not.toContain('canary')
    expect(document.text).toMatch(/A\s[^]*word\./)
  })

  test('what is hidden in a heading is not in the heading path either', async () => {
    const document = await read('# Title <!-- canary --> <b>here</b>\n\nWords.\n', { name: 'a.md' })
    expect(document.title).toBe('Title here')
    expect(document.blocks.at(-1)?.headings).toEqual(['Title here'])
  })

  test.for([
    ['in the title of a link', 'see [x](/u "<b hidden>") words <b hidden></b>end'],
    ['in the words for a picture', 'see ![<b hidden>](/u) words <b hidden></b>end'],
    ['in the title of a picture in a cell', '| See |\n|---|\n| ![\\|](/u "<b hidden>") words <b hidden></b>end |'],
    ['behind backticks that are longer', 'see ``` x ``<b hidden>`` words <b hidden></b>end'],
  ])('a tag %s hides nothing', async ([, source = '']) => {
    const { text } = await read(source, { name: 'a.md' })
    expect(text).toBe(source.replace('<b hidden></b>', ' '.repeat(14)))
  })

  test.for([
    ['over lines', 'See `<b hidden>\nx</b>` of <b hidden></b>it.'],
    ['over lines of a quote', '> See `<b hidden>\n> x</b>` of <b hidden></b>it.'],
    ['in a cell', '| See |\n|---|\n| `\\|<b hidden>x</b>` of <b hidden></b>it. |'],
  ])('code %s is read as written', async ([, source = '']) => {
    const { text } = await read(source, { name: 'a.md' })
    expect(text).toBe(source.replace('<b hidden></b>', ' '.repeat(14)))
  })

  test('code, tags of nothing and definitions of links stay as written', async () => {
    const source =
      'Use `<!-- note -->` and <option> [here][a].\n\n[a]: https://example.com "More"\n\n```html\n<p hidden>x</p>\n```\n\n<p align="center">Seen.</p>\n'
    expect((await read(source, { name: 'a.md' })).text).toBe(source)
  })
})
