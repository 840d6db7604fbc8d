/**
 * DOCX: paragraphs, headings by style or outline level, lists with their numbers, tables, text boxes, foot- and endnotes behind the paragraph
 * that names them. Left out: deleted and hidden text, comments, headers and footers, field codes, anything outside the package.
 */
import type { ParsedDocument } from '../../core/corpus.ts'
import type { ParseLimits } from '../limits.ts'
import { DocumentBuilder } from './document-builder.ts'
import { readLists, type Lists } from './docx-lists.ts'
import { readStyles, type Styles } from './docx-styles.ts'
import { OfficePackage, type Relation } from './office-package.ts'
import { tableText } from './table-text.ts'
import { attribute, descendants, element, elements, textOf, type XmlNode } from './xml.ts'

const contentType = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'
const spanMax = 60
const notesPerParagraphMax = 100
const skipped = new Set(['del', 'moveFrom', 'Fallback', 'instrText', 'delText', 'pPr', 'rPr', 'sdtPr', 'commentReference', 'rt'])

interface DocxParts {
  readonly styles: Styles
  readonly lists: Lists
  readonly relations: ReadonlyMap<string, Relation>
  readonly notes: ReadonlyMap<string, string>
}

/** What stands in one paragraph besides its text. */
interface Inline {
  readonly notes: string[]
  readonly boxes: XmlNode[]
  /** Of the paragraph. */
  readonly properties: XmlNode | undefined
}

/** Throws `document_broken`, `document_bomb`, `document_encrypted` or `document_too_large`. */
export async function parseDocx(bytes: Uint8Array, limits: ParseLimits): Promise<ParsedDocument> {
  const office = await OfficePackage.open(bytes, limits)
  const main = await office.mainPart('word/document.xml')
  const folder = main.slice(0, main.lastIndexOf('/') + 1)
  const styles = await readStyles(office, `${folder}styles.xml`)
  const parts: DocxParts = {
    styles,
    lists: await readLists(office, `${folder}numbering.xml`),
    relations: await office.relations(main),
    notes: await readNotes(office, folder, styles),
  }
  const writer = new DocxWriter(new DocumentBuilder(limits), parts)
  // Only what stands directly in the body: a table inside a text box comes with its paragraph.
  await office.read(main, ['p', 'tbl', 'sdt'], (node) => writer.addBlock(node))
  return writer.finish(await office.title())
}

async function readNotes(office: OfficePackage, folder: string, styles: Styles): Promise<ReadonlyMap<string, string>> {
  const notes = new Map<string, string>()
  for (const kind of ['footnote', 'endnote'])
    await office.read(`${folder}${kind}s.xml`, [kind], (node) => {
      const text = plainText(node, styles).trim()
      if (attribute(node, 'type') === undefined && text !== '') notes.set(`${kind} ${attribute(node, 'id') ?? ''}`, text)
    })
  return notes
}

/** What is seen of all paragraphs below a node, a line each. */
function plainText(node: XmlNode, styles: Styles): string {
  return descendants(node, 'p')
    .map((paragraph) => {
      const properties = element(paragraph, 'pPr')
      const seen = descendants(paragraph, 'r').filter((run) => !styles.hides(properties, element(run, 'rPr')))
      return seen.flatMap((run) => descendants(run, 't').map(textOf)).join('')
    })
    .join('\n')
}

class DocxWriter {
  readonly #builder: DocumentBuilder
  readonly #parts: DocxParts
  readonly #listLines: string[] = []

  constructor(builder: DocumentBuilder, parts: DocxParts) {
    this.#builder = builder
    this.#parts = parts
  }

  addBlock(node: XmlNode): void {
    if (node.name === 'p') this.#addParagraph(node)
    else if (node.name === 'tbl') this.#addTable(node)
    else for (const child of elements(node.name === 'sdt' ? element(node, 'sdtContent') : node)) this.addBlock(child)
  }

  finish(title: string | null): ParsedDocument {
    this.#endList()
    return this.#builder.finish(contentType, { title })
  }

  #addParagraph(node: XmlNode): void {
    const properties = element(node, 'pPr')
    const inline: Inline = { notes: [], boxes: [], properties }
    const text = this.#inlineText(node, inline)
    const level = this.#parts.styles.headingLevel(properties)
    const marker = level === null ? this.#marker(properties) : null
    if (text.trim() !== '' && marker !== null) this.#listLines.push(`${marker}${text.trim().replaceAll('\n', ' ')}`)
    else if (text.trim() !== '') {
      this.#endList()
      this.#builder.add(level === null ? 'paragraph' : 'heading', text, { level: level ?? 1 })
    }
    for (const note of inline.notes) {
      this.#endList()
      this.#builder.add('paragraph', note)
    }
    for (const box of inline.boxes) for (const child of elements(box)) this.addBlock(child)
  }

  #marker(properties: XmlNode | undefined): string | null {
    const numbering = this.#parts.styles.numbering(properties)
    return numbering === null ? null : this.#parts.lists.marker(numbering)
  }

  /** A list stands in one block, with its items on lines of their own. */
  #endList(): void {
    const lines = this.#listLines.splice(0)
    if (lines.length > 0) this.#builder.add('list', lines.join('\n'))
  }

  #inlineText(node: XmlNode, inline: Inline): string {
    return elements(node)
      .map((child) => this.#pieceText(child, inline))
      .join('')
  }

  #pieceText(node: XmlNode, inline: Inline): string {
    if (skipped.has(node.name)) return ''
    switch (node.name) {
      case 't':
        return textOf(node)
      case 'tab':
        return '\t'
      case 'br':
      case 'cr':
        return '\n'
      case 'noBreakHyphen':
        return '-'
      case 'footnoteReference':
      case 'endnoteReference':
        return this.#noteMark(node, inline)
      case 'txbxContent':
        inline.boxes.push(node)
        return ''
      case 'r':
        return this.#parts.styles.hides(inline.properties, element(node, 'rPr')) ? '' : this.#inlineText(node, inline)
      case 'p':
        return this.#inlineText(node, { ...inline, properties: element(node, 'pPr') })
      case 'hyperlink':
        return this.#linkText(node, inline)
      default:
        return this.#inlineText(node, inline)
    }
  }

  #noteMark(node: XmlNode, inline: Inline): string {
    const id = attribute(node, 'id') ?? ''
    const note = this.#parts.notes.get(`${node.name.replace('Reference', '')} ${id}`)
    if (note === undefined || inline.notes.length >= notesPerParagraphMax) return ''
    inline.notes.push(`[${id}] ${note}`)
    return `[${id}]`
  }

  #linkText(node: XmlNode, inline: Inline): string {
    const text = this.#inlineText(node, inline)
    const relation = this.#parts.relations.get(attribute(node, 'r:id') ?? '')
    const isWorthShowing = relation?.isExternal === true && /^(?:https?|mailto):/i.test(relation.target) && text.trim() !== ''
    return isWorthShowing && !relation.target.includes(text.trim()) ? `${text} (${relation.target})` : text
  }

  #addTable(node: XmlNode): void {
    this.#endList()
    const grid = this.#grid(node)
    const isBox = grid.length <= 1 && (grid[0]?.length ?? 0) <= 1
    if (isBox) for (const cell of descendants(node, 'tc')) for (const child of elements(cell)) this.addBlock(child)
    else this.#builder.add('table', tableText(grid))
    this.#endList()
  }

  /** Cells over spans: what reaches over columns or rows is said in each of them. */
  #grid(node: XmlNode): string[][] {
    const grid: string[][] = []
    for (const row of descendants(node, 'tr')) {
      const cells: string[] = []
      for (const cell of descendants(row, 'tc')) {
        const properties = element(cell, 'tcPr')
        const span = Math.min(spanMax, Math.max(1, Number(attribute(element(properties, 'gridSpan'), 'val')) || 1))
        const merge = element(properties, 'vMerge')
        const isContinued = merge !== undefined && attribute(merge, 'val') !== 'restart'
        const text = isContinued ? (grid.at(-1)?.[cells.length] ?? '') : this.#cellText(cell)
        cells.push(...Array.from({ length: span }, () => text))
      }
      grid.push(cells)
    }
    return grid
  }

  #cellText(cell: XmlNode): string {
    const inline: Inline = { notes: [], boxes: [], properties: undefined }
    const lines = elements(cell).flatMap((child) =>
      child.name === 'tbl' ? this.#grid(child).map((row) => row.join(', ')) : this.#pieceText(child, inline),
    )
    return [...lines, ...inline.boxes.map((box) => plainText(box, this.#parts.styles))].filter((line) => line.trim() !== '').join(' ')
  }
}
