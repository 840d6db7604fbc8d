/**
 * PPTX: slides in their order as pages, the title as heading, then text, lists, tables and the numbers behind charts, last the notes of the
 * speaker. Hidden slides and what every slide repeats (date, footer, number) are left out.
 */
import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { DocumentBuilder } from './document-builder.ts'
import { OfficePackage, type Relation } from './office-package.ts'
import { chartGrid } from './pptx-chart.ts'
import { tableText } from './table-text.ts'
import { attribute, descendants, element, elements, textOf, type XmlNode } from './xml.ts'

const contentType = 'application/vnd.openxmlformats-officedocument.presentationml.presentation'
const furniture = new Set(['dt', 'ftr', 'sldNum', 'hdr'])
const titles = new Set(['title', 'ctrTitle'])
/** Roles of shapes whose paragraphs are bullets unless they say otherwise; a shape drawn by hand is plain text unless it says otherwise. */
const bulleted = new Set(['body', 'obj'])

interface SlideContext {
  readonly builder: DocumentBuilder
  readonly office: OfficePackage
  readonly relations: ReadonlyMap<string, Relation>
  readonly page: number
}

/** Throws as `parseDocx`, and `document_too_many_pages`. */
export async function parsePptx(bytes: Uint8Array, limits: ParseLimits): Promise<ParsedDocument> {
  const office = await OfficePackage.open(bytes, limits)
  const main = await office.mainPart('ppt/presentation.xml')
  const slides = await slideParts(office, main)
  if (slides.length > limits.pages)
    throw new CorralError('document_too_many_pages', `it has ${slides.length} slides, more than ${limits.pages}: split it`)
  const builder = new DocumentBuilder(limits)
  for (const [index, part] of slides.entries()) {
    builder.headings.clear()
    await addSlide({ builder, office, relations: await office.relations(part), page: index + 1 }, part)
  }
  return builder.finish(contentType, { title: await office.title(), pages: slides.length })
}

async function slideParts(office: OfficePackage, main: string): Promise<readonly string[]> {
  const relations = await office.relations(main)
  const list = await office.first(main, 'sldIdLst')
  return elements(list, 'sldId').flatMap((node) => {
    const relation = relations.get(attribute(node, 'r:id') ?? '')
    return relation === undefined || relation.isExternal ? [] : [relation.target]
  })
}

async function addSlide(context: SlideContext, part: string): Promise<void> {
  const { builder, office, page } = context
  const slide = await office.first(part, 'sld')
  if (attribute(slide, 'show') === '0') {
    builder.warnings.add(`slide ${page} is hidden: left out`)
    return
  }
  const shapes = shapesOf(element(slide, 'cSld', 'spTree'))
  for (const shape of shapes.filter(isTitle)) builder.add('heading', paragraphs(shape).join(' '), { page, level: 1 })
  for (const shape of shapes.filter((one) => !isTitle(one))) await addShape(context, shape)
  await addNotes(context)
}

/** Shapes in drawing order, groups opened, without what is hidden. */
function shapesOf(tree: XmlNode | undefined): XmlNode[] {
  return elements(tree).flatMap((node) => {
    if (isHidden(node)) return []
    if (node.name === 'grpSp') return shapesOf(node)
    if (node.name === 'AlternateContent') return shapesOf(element(node, 'Choice'))
    return node.name === 'sp' || node.name === 'graphicFrame' ? [node] : []
  })
}

/** Taken out of sight in the selection pane. */
function isHidden(shape: XmlNode): boolean {
  const properties = elements(shape).find(({ name }) => /^nv\w*Pr$/.test(name))
  return ['1', 'true'].includes(attribute(element(properties, 'cNvPr'), 'hidden') ?? '')
}

function roleOf(shape: XmlNode): string | null {
  const node = element(shape, 'nvSpPr', 'nvPr', 'ph')
  return node === undefined ? null : (attribute(node, 'type') ?? 'obj')
}

function isTitle(shape: XmlNode): boolean {
  return titles.has(roleOf(shape) ?? '')
}

async function addShape(context: SlideContext, shape: XmlNode): Promise<void> {
  if (shape.name === 'graphicFrame') {
    await addGraphic(context, shape)
    return
  }
  const role = roleOf(shape)
  if (furniture.has(role ?? '')) return
  const { builder, page } = context
  const list: string[] = []
  const endList = () => {
    if (list.length > 0) builder.add('list', list.splice(0).join('\n'), { page })
  }
  let number = 0
  for (const node of elements(element(shape, 'txBody'), 'p')) {
    const text = paragraphText(node)
    const kind = text.trim() === '' ? 'none' : listKind(node, bulleted.has(role ?? ''))
    number = kind === 'number' ? number + 1 : 0
    const indent = '  '.repeat(Number(attribute(element(node, 'pPr'), 'lvl') ?? 0) || 0)
    if (kind === 'none') {
      endList()
      builder.add('paragraph', text, { page })
    } else list.push(`${indent}${kind === 'number' ? `${number}.` : '-'} ${text.replaceAll('\n', ' ')}`)
  }
  endList()
}

function listKind(paragraph: XmlNode, isBulleted: boolean): 'number' | 'bullet' | 'none' {
  const properties = element(paragraph, 'pPr')
  if (element(properties, 'buNone') !== undefined) return 'none'
  if (element(properties, 'buAutoNum') !== undefined) return 'number'
  return isBulleted || element(properties, 'buChar') !== undefined ? 'bullet' : 'none'
}

function paragraphs(shape: XmlNode): string[] {
  return elements(element(shape, 'txBody'), 'p').map(paragraphText)
}

function paragraphText(node: XmlNode): string {
  return elements(node)
    .map((child) => {
      if (child.name === 'br') return '\n'
      return child.name === 'r' || child.name === 'fld' ? textOf(element(child, 't')) : ''
    })
    .join('')
}

async function addGraphic({ builder, office, relations, page }: SlideContext, frame: XmlNode): Promise<void> {
  const data = element(frame, 'graphic', 'graphicData')
  const table = element(data, 'tbl')
  if (table !== undefined) {
    builder.add('table', tableText(gridOf(table)), { page })
    return
  }
  const relation = relations.get(attribute(element(data, 'chart'), 'r:id') ?? '')
  if (relation === undefined || relation.isExternal) return
  const chart = await office.first(relation.target, 'chart')
  const title = descendants(element(chart, 'title'), 't').map(textOf).join('')
  builder.add('paragraph', title, { page })
  builder.add('table', tableText(chartGrid(chart)), { page })
}

/** What reaches over columns or rows is said in each of them. */
function gridOf(table: XmlNode): string[][] {
  const grid: string[][] = []
  for (const row of elements(table, 'tr')) {
    const cells: string[] = []
    for (const cell of elements(row, 'tc')) {
      const text = elements(element(cell, 'txBody'), 'p').map(paragraphText).join(' ')
      if (attribute(cell, 'hMerge') === '1') cells.push(cells.at(-1) ?? '')
      else if (attribute(cell, 'vMerge') === '1') cells.push(grid.at(-1)?.[cells.length] ?? '')
      else cells.push(text)
    }
    grid.push(cells)
  }
  return grid
}

async function addNotes({ builder, office, relations, page }: SlideContext): Promise<void> {
  const relation = [...relations.values()].find(({ type, isExternal }) => type === 'notesSlide' && !isExternal)
  if (relation === undefined) return
  const notes = await office.first(relation.target, 'notes')
  const bodies = shapesOf(element(notes, 'cSld', 'spTree')).filter((shape) => roleOf(shape) === 'body')
  const text = bodies.flatMap(paragraphs).join('\n').trim()
  if (text !== '') builder.add('paragraph', `Notes: ${text}`, { page })
}
