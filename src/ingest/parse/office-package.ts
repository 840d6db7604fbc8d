/** What DOCX, PPTX and XLSX have in common: parts in a zip, relations between them (only those inside the package), a title. */
import type { ParseLimits } from '../limits.ts'
import { titleOf } from './document-builder.ts'
import { attribute, readXml, textOf, type XmlNode } from './xml.ts'
import { ZipArchive } from './zip.ts'

export interface Relation {
  /** Path of a part of the package, or the address that a link shows. Never opened when external. */
  readonly target: string
  readonly type: string
  readonly isExternal: boolean
}

export class OfficePackage {
  readonly #zip: ZipArchive
  readonly #limits: ParseLimits

  private constructor(zip: ZipArchive, limits: ParseLimits) {
    this.#zip = zip
    this.#limits = limits
  }

  static async open(bytes: Uint8Array, limits: ParseLimits): Promise<OfficePackage> {
    return new OfficePackage(await ZipArchive.open(bytes, limits), limits)
  }

  has(part: string): boolean {
    return this.#zip.has(part)
  }

  /** Calls `onNode` with every wanted element of a part; nothing when the package has no such part. */
  async read(part: string, wanted: readonly string[], onNode: (node: XmlNode) => void): Promise<void> {
    await readXml(this.#zip.read(part), { limits: this.#limits, wanted, onNode })
  }

  /** The first wanted element of a part. */
  async first(part: string, wanted: string): Promise<XmlNode | undefined> {
    let found: XmlNode | undefined
    await this.read(part, [wanted], (node) => {
      found ??= node
    })
    return found
  }

  /** Relations of a part by their id. */
  async relations(part: string): Promise<ReadonlyMap<string, Relation>> {
    const slash = part.lastIndexOf('/')
    const folder = part.slice(0, slash + 1)
    const relations = new Map<string, Relation>()
    await this.read(`${folder}_rels/${part.slice(slash + 1)}.rels`, ['Relationship'], (node) => {
      const id = attribute(node, 'Id')
      const target = attribute(node, 'Target')
      if (id === undefined || target === undefined) return
      const isExternal = attribute(node, 'TargetMode') === 'External'
      const type = (attribute(node, 'Type') ?? '').split('/').at(-1) ?? ''
      relations.set(id, { target: isExternal ? target : partPath(folder, target), type, isExternal })
    })
    return relations
  }

  /** The part that a relation of the package itself names, e.g. `officeDocument`. */
  async mainPart(fallback: string): Promise<string> {
    const root = await this.relations('')
    const main = [...root.values()].find(({ type, isExternal }) => type === 'officeDocument' && !isExternal)
    return main !== undefined && this.has(main.target) ? main.target : fallback
  }

  async title(): Promise<string | null> {
    const node = await this.first('docProps/core.xml', 'title')
    return titleOf(textOf(node))
  }
}

/** `target` as seen from `folder`, with `.` and `..` resolved; it never leaves the package, which has only names. */
function partPath(folder: string, target: string): string {
  const parts: string[] = target.startsWith('/') ? [] : folder.split('/').filter((part) => part !== '')
  for (const part of target.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return parts.join('/')
}
