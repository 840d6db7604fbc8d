/** Styles of a DOCX: which are headings, of what level, which are lists, which hide their text; styles that rest on others inherit all of it. */
import type { OfficePackage } from './office-package.ts'
import { attribute, element, isOn, textOf, type XmlNode } from './xml.ts'

const inheritanceMax = 20
const levelMax = 6

interface Style {
  readonly name: string
  readonly basedOn: string | undefined
  readonly properties: XmlNode | undefined
  readonly run: XmlNode | undefined
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
  /** Whether text of these properties of paragraph and run is hidden. */
  hides(paragraph: XmlNode | undefined, run: XmlNode | undefined): boolean
}

export async function readStyles(office: OfficePackage, part: string): Promise<Styles> {
  const styles = new Map<string, Style>()
  await office.read(part, ['style'], (node) => {
    const name = (attribute(element(node, 'name'), 'val') ?? textOf(element(node, 'name'))).toLowerCase()
    const basedOn = attribute(element(node, 'basedOn'), 'val')
    styles.set(attribute(node, 'styleId') ?? '', { name, basedOn, properties: element(node, 'pPr'), run: element(node, 'rPr') })
  })
  /** The style of a paragraph or run, and those it rests on. */
  const chain = (properties: XmlNode | undefined, kind: 'pStyle' | 'rStyle'): Style[] => {
    const found: Style[] = []
    let id = attribute(element(properties, kind), 'val')
    while (id !== undefined && found.length < inheritanceMax) {
      const style = styles.get(id)
      if (style === undefined) break
      found.push(style)
      id = style.basedOn
    }
    return found
  }
  return {
    headingLevel: (properties) => outlineLevel(properties) ?? firstOf(chain(properties, 'pStyle'), levelOfStyle),
    numbering: (properties) => numberingOf(properties) ?? firstOf(chain(properties, 'pStyle'), (style) => numberingOf(style.properties)),
    hides: (paragraph, run) =>
      vanishes(run) ?? firstOf([...chain(run, 'rStyle'), ...chain(paragraph, 'pStyle')], (style) => vanishes(style.run)) ?? false,
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

/** Null: these properties of a run say nothing of it. */
function vanishes(run: XmlNode | undefined): boolean | null {
  const node = element(run, 'vanish')
  return node === undefined ? null : isOn(node)
}

function numberingOf(properties: XmlNode | undefined): Numbering | null {
  const node = element(properties, 'numPr')
  const id = attribute(element(node, 'numId'), 'val')
  const level = Number(attribute(element(node, 'ilvl'), 'val') ?? 0)
  return id === undefined || !Number.isInteger(level) ? null : { id, level: Math.min(8, Math.max(0, level)) }
}
