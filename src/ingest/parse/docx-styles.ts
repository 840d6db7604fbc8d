/** Paragraph styles of a DOCX: which are headings, of what level, and which are lists; styles that rest on others inherit both. */
import type { OfficePackage } from './office-package.ts'
import { attribute, element, textOf, type XmlNode } from './xml.ts'

const inheritanceMax = 20
const levelMax = 6

interface Style {
  readonly name: string
  readonly basedOn: string | undefined
  readonly properties: XmlNode | undefined
}

export interface Numbering {
  readonly id: string
  /** From 0. */
  readonly level: number
}

export interface Styles {
  /** 1–6 of a heading or title; null of any other paragraph. */
  headingLevel(properties: XmlNode | undefined): number | null
  /** The list that a paragraph is in. */
  numbering(properties: XmlNode | undefined): Numbering | null
}

export async function readStyles(office: OfficePackage, part: string): Promise<Styles> {
  const styles = new Map<string, Style>()
  await office.read(part, ['style'], (node) => {
    const name = (attribute(element(node, 'name'), 'val') ?? textOf(element(node, 'name'))).toLowerCase()
    const basedOn = attribute(element(node, 'basedOn'), 'val')
    styles.set(attribute(node, 'styleId') ?? '', { name, basedOn, properties: element(node, 'pPr') })
  })
  /** The style of a paragraph and those it rests on. */
  const chain = (properties: XmlNode | undefined): Style[] => {
    const found: Style[] = []
    let id = attribute(element(properties, 'pStyle'), 'val')
    while (id !== undefined && found.length < inheritanceMax) {
      const style = styles.get(id)
      if (style === undefined) break
      found.push(style)
      id = style.basedOn
    }
    return found
  }
  return {
    headingLevel: (properties) => outlineLevel(properties) ?? firstOf(chain(properties), levelOfStyle),
    numbering: (properties) => numberingOf(properties) ?? firstOf(chain(properties), (style) => numberingOf(style.properties)),
  }
}

function firstOf<T>(styles: readonly Style[], read: (style: Style) => T | null): T | null {
  for (const style of styles) {
    const value = read(style)
    if (value !== null) return value
  }
  return null
}

function levelOfStyle({ name, properties }: Style): number | null {
  const heading = /^(?:heading|überschrift|titre|título|заголовок)\s*([1-9])$/.exec(name)
  if (heading !== null) return Math.min(levelMax, Number(heading[1]))
  return name === 'title' ? 1 : outlineLevel(properties)
}

/** `outlineLvl` counts from 0; 9 is body text. */
function outlineLevel(properties: XmlNode | undefined): number | null {
  const value = attribute(element(properties, 'outlineLvl'), 'val')
  if (value === undefined || !/^[0-8]$/.test(value)) return null
  return Math.min(levelMax, Number(value) + 1)
}

function numberingOf(properties: XmlNode | undefined): Numbering | null {
  const node = element(properties, 'numPr')
  const id = attribute(element(node, 'numId'), 'val')
  const level = Number(attribute(element(node, 'ilvl'), 'val') ?? 0)
  return id === undefined || !Number.isInteger(level) ? null : { id, level: Math.min(8, Math.max(0, level)) }
}
