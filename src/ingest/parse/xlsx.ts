/**
 * XLSX: sheets in their order as pages, each region of rows with its own header, every row a block `Header: value; …`. Dates, percents and
 * truth values are written as they mean; formulas as their kept result. Hidden sheets, comments and macros are left out.
 */
import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { DocumentBuilder } from './document-builder.ts'
import { OfficePackage } from './office-package.ts'
import { addRows, findHeader } from './sheet-rows.ts'
import { readCellFormats } from './xlsx-format.ts'
import { readSheet, richText, type Workbook } from './xlsx-sheet.ts'
import { attribute, element, elements, type XmlNode } from './xml.ts'

const contentType = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'

interface SheetEntry {
  readonly name: string
  readonly part: string
  readonly isHidden: boolean
}

/** Throws as `parseDocx`, and `document_too_many_pages`. */
export async function parseXlsx(bytes: Uint8Array, limits: ParseLimits): Promise<ParsedDocument> {
  const office = await OfficePackage.open(bytes, limits)
  const main = await office.mainPart('xl/workbook.xml')
  const folder = main.slice(0, main.lastIndexOf('/') + 1)
  const root = await office.first(main, 'workbook')
  const sheets = await sheetEntries(office, main, root)
  if (sheets.length > limits.pages)
    throw new CorralError('document_too_many_pages', `it has ${sheets.length} sheets, more than ${limits.pages}: split it`)
  const isFrom1904 = ['1', 'true'].includes(attribute(element(root, 'workbookPr'), 'date1904') ?? '')
  const formats = await readCellFormats(office, `${folder}styles.xml`, isFrom1904)
  const workbook: Workbook = { office, strings: await readStrings(office, `${folder}sharedStrings.xml`), formats }
  const builder = new DocumentBuilder(limits)
  for (const [index, sheet] of sheets.entries()) {
    if (sheet.isHidden) builder.warnings.add(`sheet "${sheet.name}" is hidden: left out`)
    else await addSheet(builder, sheet, { workbook, page: index + 1 })
  }
  return builder.finish(contentType, { title: await office.title(), pages: sheets.length })
}

async function sheetEntries(office: OfficePackage, main: string, root: XmlNode | undefined): Promise<readonly SheetEntry[]> {
  const relations = await office.relations(main)
  return elements(element(root, 'sheets'), 'sheet').flatMap((node) => {
    const relation = relations.get(attribute(node, 'r:id') ?? '')
    if (relation === undefined || relation.isExternal || relation.type !== 'worksheet') return []
    return [{ name: attribute(node, 'name') ?? '', part: relation.target, isHidden: (attribute(node, 'state') ?? 'visible') !== 'visible' }]
  })
}

async function readStrings(office: OfficePackage, part: string): Promise<readonly string[]> {
  const strings: string[] = []
  await office.read(part, ['si'], (node) => strings.push(richText(node)))
  return strings
}

async function addSheet(
  builder: DocumentBuilder,
  sheet: SheetEntry,
  { workbook, page }: { readonly workbook: Workbook; readonly page: number },
): Promise<void> {
  const regions = await readSheet(workbook, sheet.part)
  builder.headings.clear()
  if (regions.length > 0) builder.add('heading', sheet.name, { page, level: 1 })
  let header: readonly string[] | null = null
  for (const rows of regions) {
    const found = findHeader(rows)
    for (const row of rows.slice(0, found?.at ?? 0)) builder.add('paragraph', [...new Set(row)].join(' '), { page })
    if (found !== null) header = found.names
    else if (!fits(header, rows)) header = null
    addRows(builder, { rows: rows.slice(found?.at ?? 0), header, headerRows: found?.rows ?? 0, page })
  }
}

/** Whether rows after a blank one still belong under the header above: they fill its columns and no others. */
function fits(header: readonly string[] | null, rows: readonly (readonly string[])[]): boolean {
  return header !== null && rows.every((row) => row.every((cell, column) => cell === '' || (header[column] ?? '') !== ''))
}
