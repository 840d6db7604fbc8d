/** Lists of a DOCX: whether a level has bullets or numbers, and the number of the next item. */
import type { Numbering } from './docx-styles.ts'
import type { OfficePackage } from './office-package.ts'
import { attribute, element, elements } from './xml.ts'

const romanDigits = [
  ['m', 1000],
  ['cm', 900],
  ['d', 500],
  ['cd', 400],
  ['c', 100],
  ['xc', 90],
  ['l', 50],
  ['xl', 40],
  ['x', 10],
  ['ix', 9],
  ['v', 5],
  ['iv', 4],
  ['i', 1],
] as const
const romanMax = 3_999
const alphabet = 26

interface ListLevel {
  readonly format: string
  readonly start: number
}

export interface Lists {
  /** What stands before the next item, with its indent; null when the paragraph is in no list. Counts the item. */
  marker(numbering: Numbering): string | null
}

export async function readLists(office: OfficePackage, part: string): Promise<Lists> {
  const kinds = new Map<string, ReadonlyMap<number, ListLevel>>()
  const uses = new Map<string, string>()
  await office.read(part, ['abstractNum', 'num'], (node) => {
    if (node.name === 'num') {
      uses.set(attribute(node, 'numId') ?? '', attribute(element(node, 'abstractNumId'), 'val') ?? '')
      return
    }
    const levels = elements(node, 'lvl').map((level): [number, ListLevel] => [
      Number(attribute(level, 'ilvl')),
      {
        format: attribute(element(level, 'numFmt'), 'val') ?? 'decimal',
        start: Number(attribute(element(level, 'start'), 'val') ?? 1) || 0,
      },
    ])
    kinds.set(attribute(node, 'abstractNumId') ?? '', new Map(levels))
  })
  const counts = new Map<string, number[]>()
  return {
    marker({ id, level }) {
      // Number 0 takes a paragraph out of the list of its style.
      if (id === '0') return null
      const kind = uses.get(id)
      const { format, start } = kinds.get(kind ?? '')?.get(level) ?? { format: 'bullet', start: 1 }
      const indent = '  '.repeat(level)
      if (format === 'bullet' || format === 'none') return `${indent}- `
      const counted = counts.get(kind ?? id) ?? []
      counts.set(kind ?? id, counted)
      counted.length = level + 1
      const number = (counted[level] ?? start - 1) + 1
      counted[level] = number
      return `${indent}${numberText(number, format)}. `
    },
  }
}

function numberText(number: number, format: string): string {
  switch (format) {
    case 'lowerLetter':
    case 'upperLetter': {
      const letter = String.fromCharCode(97 + ((number - 1 + alphabet) % alphabet))
      return format === 'lowerLetter' ? letter : letter.toUpperCase()
    }
    case 'lowerRoman':
      return roman(number)
    case 'upperRoman':
      return roman(number).toUpperCase()
    default:
      return String(number)
  }
}

function roman(number: number): string {
  if (number < 1 || number > romanMax) return String(number)
  let rest = number
  let text = ''
  for (const [digits, value] of romanDigits) for (; rest >= value; rest -= value) text += digits
  return text
}
