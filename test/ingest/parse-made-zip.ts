// Zip containers for tests, made byte by byte, so that they may also lie about themselves.

import { crc32, deflateRawSync } from 'node:zlib'

export interface MadeEntry {
  readonly name: string
  readonly data: Uint8Array | string
  /** General purpose flags; 1: encrypted. */
  readonly flags?: number
  /** What the directory says instead of the truth. */
  readonly declaredBytes?: number
  /** Of a Unix file, type and rights. */
  readonly mode?: number
}

export function makeZip(entries: readonly MadeEntry[]): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const { name, data, flags = 0, declaredBytes, mode = 0 } of entries) {
    const plain = Buffer.from(data)
    const packed = deflateRawSync(plain, { level: 9 })
    const size = declaredBytes ?? plain.length
    const nameBytes = Buffer.from(name)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(20, 4)
    local.writeUInt16LE(flags, 6)
    local.writeUInt16LE(8, 8)
    local.writeUInt32LE(crc32(plain), 14)
    local.writeUInt32LE(packed.length, 18)
    local.writeUInt32LE(size, 22)
    local.writeUInt16LE(nameBytes.length, 26)
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    local.copy(central, 6, 4, 30)
    // Made by a Unix program.
    central.writeUInt8(3, 5)
    central.writeUInt32LE((mode << 16) >>> 0, 38)
    central.writeUInt32LE(offset, 42)
    parts.push(local, nameBytes, packed)
    directory.push(central, nameBytes)
    offset += 30 + nameBytes.length + packed.length
  }
  const end = Buffer.alloc(22)
  const directoryBytes = Buffer.concat(directory)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(directoryBytes.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...parts, directoryBytes, end])
}

const namespace = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'

/** A DOCX with `body` between its body tags, and further parts. */
export function makeDocx(body: string, more: readonly MadeEntry[] = []): Buffer {
  return makeZip([
    { name: '[Content_Types].xml', data: '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>' },
    { name: 'word/document.xml', data: `<?xml version="1.0"?><w:document ${namespace}><w:body>${body}</w:body></w:document>` },
    ...more,
  ])
}

/** An XLSX of one sheet with `rows` inside of its sheet data. */
export function makeXlsx(rows: string, more: readonly MadeEntry[] = []): Buffer {
  const relation = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships'
  return makeZip([
    { name: '[Content_Types].xml', data: '<Types/>' },
    { name: 'xl/workbook.xml', data: `<workbook xmlns:r="${relation}"><sheets><sheet name="Data" r:id="r1"/></sheets></workbook>` },
    {
      name: 'xl/_rels/workbook.xml.rels',
      data: `<Relationships><Relationship Id="r1" Type="${relation}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
    },
    { name: 'xl/worksheets/sheet1.xml', data: `<worksheet><sheetData>${rows}</sheetData></worksheet>` },
    ...more,
  ])
}

/** The three Office formats, each with a text of its own and further parts. */
export const officeFormats = [
  ['docx', (more: readonly MadeEntry[]) => makeDocx('<w:p><w:r><w:t>Seen.</w:t></w:r></w:p>', more)],
  ['xlsx', (more: readonly MadeEntry[]) => makeXlsx('<row r="1"><c r="A1" t="inlineStr"><is><t>Seen.</t></is></c></row>', more)],
  ['pptx', (more: readonly MadeEntry[]) => makePptx('Seen.', more)],
] as const

/** A PPTX of one slide with one text. */
function makePptx(text: string, more: readonly MadeEntry[]): Buffer {
  const relation = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships'
  return makeZip([
    { name: '[Content_Types].xml', data: '<Types/>' },
    {
      name: 'ppt/presentation.xml',
      data: `<p:presentation xmlns:r="${relation}"><p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst></p:presentation>`,
    },
    {
      name: 'ppt/_rels/presentation.xml.rels',
      data: `<Relationships><Relationship Id="r1" Type="${relation}/slide" Target="slides/slide1.xml"/></Relationships>`,
    },
    {
      name: 'ppt/slides/slide1.xml',
      data: `<p:sld><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>${text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>`,
    },
    ...more,
  ])
}
