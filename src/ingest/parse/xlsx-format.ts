/**
 * What a number in a cell means, by its number format (ECMA-376 part 1, §18.8.30): a date, a time, a percent or a plain number. Numbers are
 * written with 15 digits, which is what spreadsheets keep, so that 0.1+0.2 reads 0.3.
 */
import type { OfficePackage } from './office-package.ts'
import { attribute, elements } from './xml.ts'

type Meaning = 'number' | 'date' | 'time' | 'dateTime' | 'percent'

const dayMs = 86_400_000
/** Day 0 of a serial number, by the two conventions; the first already corrects for 29 February 1900, which never was. */
const epochMs = { from1900: Date.UTC(1899, 11, 30), from1904: Date.UTC(1904, 0, 1) } as const
const serialMax = 2_958_466
/** Formats that files do not write down because every program knows them. */
const knownFormats: Readonly<Record<number, Meaning>> = {
  9: 'percent',
  10: 'percent',
  14: 'date',
  15: 'date',
  16: 'date',
  17: 'date',
  18: 'time',
  19: 'time',
  20: 'time',
  21: 'time',
  22: 'dateTime',
  45: 'time',
  46: 'time',
  47: 'time',
}

export interface CellFormats {
  /** The value of a numeric cell of style `style`, as text. */
  write(value: string, style: number): string
}

export async function readCellFormats(office: OfficePackage, part: string, isFrom1904: boolean): Promise<CellFormats> {
  const own = new Map<number, Meaning>()
  const styles: Meaning[] = []
  await office.read(part, ['numFmt', 'cellXfs'], (node) => {
    if (node.name === 'numFmt') own.set(Number(attribute(node, 'numFmtId')), meaningOf(attribute(node, 'formatCode') ?? ''))
    else
      for (const format of elements(node, 'xf')) {
        const id = Number(attribute(format, 'numFmtId') ?? 0)
        styles.push(own.get(id) ?? knownFormats[id] ?? 'number')
      }
  })
  return { write: (value, style) => writeNumber(value, styles[style] ?? 'number', isFrom1904) }
}

/** The first section of a format decides; quoted text, colours, locales and escaped characters say nothing. */
function meaningOf(code: string): Meaning {
  const plain = (code.split(';')[0] ?? '').replace(/"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]/gi, '').toLowerCase()
  if (plain.includes('%')) return 'percent'
  if (plain.includes('general') || /[0#?]/.test(plain.replace(/s\.0+/g, 's'))) return 'number'
  const hasTime = /[hs]/.test(plain)
  const hasDate = /[dy]/.test(plain) || (plain.includes('m') && !hasTime)
  if (hasDate) return hasTime ? 'dateTime' : 'date'
  return hasTime ? 'time' : 'number'
}

function writeNumber(value: string, meaning: Meaning, isFrom1904: boolean): string {
  const number = Number(value)
  if (!Number.isFinite(number)) return value
  if (meaning === 'percent') return `${shortest(number * 100)}%`
  if (meaning === 'number' || number < 0 || number > serialMax) return shortest(number)
  const atMs = (isFrom1904 ? epochMs.from1904 : epochMs.from1900) + Math.round((number * dayMs) / 1_000) * 1_000
  const [date = '', time = ''] = new Date(atMs).toISOString().slice(0, 19).split('T')
  if (meaning === 'time') return number < 1 ? time : `${Math.floor(number * 24)}${time.slice(2)}`
  return meaning === 'date' || time === '00:00:00' ? date : `${date} ${time}`
}

function shortest(number: number): string {
  return String(Number(number.toPrecision(15)))
}
