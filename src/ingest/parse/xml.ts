/**
 * XML of untrusted documents, read as a stream: no DTD, so no entities of its own, nothing external, a cap on depth. Elements that a parser
 * wants become small trees, one at a time; all else is passed over without being kept. Element names are local, without their prefix.
 */
import { SaxesParser } from 'saxes'

import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'

export interface XmlNode {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: (XmlNode | string)[]
}

export interface XmlPlan {
  readonly limits: ParseLimits
  /** Local names of elements that become trees; the outermost one counts. */
  readonly wanted: readonly string[]
  readonly onNode: (node: XmlNode) => void
}

interface TreeState {
  readonly plan: XmlPlan
  readonly stack: XmlNode[]
  depth: number
}

/** Reads one XML text to its end. Throws `document_broken`. */
export async function readXml(chunks: AsyncIterable<Uint8Array>, plan: XmlPlan): Promise<void> {
  const parser = new SaxesParser({ xmlns: false })
  const state: TreeState = { plan, stack: [], depth: 0 }
  parser.on('doctype', () => {
    throw new CorralError('document_broken', 'its XML declares a document type, which documents of this kind never do')
  })
  parser.on('error', (error) => {
    throw new CorralError('document_broken', 'its XML is damaged', { cause: error })
  })
  parser.on('opentag', ({ name, attributes }) => open(state, name, attributes))
  parser.on('closetag', () => close(state))
  parser.on('text', (text) => state.stack.at(-1)?.children.push(text))
  parser.on('cdata', (text) => state.stack.at(-1)?.children.push(text))
  let decoder: TextDecoder | null = null
  for await (const chunk of chunks) {
    decoder ??= new TextDecoder(xmlCharset(chunk))
    parser.write(decoder.decode(chunk, { stream: true }))
  }
  if (decoder === null) return
  parser.write(decoder.decode())
  parser.close()
}

function open(state: TreeState, name: string, attributes: Readonly<Record<string, string>>): void {
  const { limits, wanted } = state.plan
  state.depth += 1
  if (state.depth > limits.xmlDepth) throw new CorralError('document_broken', `its XML is nested more than ${limits.xmlDepth} levels deep`)
  const local = localName(name)
  if (state.stack.length === 0 && !wanted.includes(local)) return
  const node: XmlNode = { name: local, attributes, children: [] }
  state.stack.at(-1)?.children.push(node)
  state.stack.push(node)
}

function close(state: TreeState): void {
  state.depth -= 1
  const node = state.stack.pop()
  if (node !== undefined && state.stack.length === 0) state.plan.onNode(node)
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}

function xmlCharset(chunk: Uint8Array): string {
  if (chunk[0] === 0xff && chunk[1] === 0xfe) return 'utf-16le'
  if (chunk[0] === 0xfe && chunk[1] === 0xff) return 'utf-16be'
  return 'utf-8'
}

/** Child elements, all or those of one name. */
export function elements(node: XmlNode | undefined, name?: string): XmlNode[] {
  const found: XmlNode[] = []
  for (const child of node?.children ?? []) if (typeof child !== 'string' && (name === undefined || child.name === name)) found.push(child)
  return found
}

/** The first element down a path of names. */
export function element(node: XmlNode | undefined, ...path: readonly string[]): XmlNode | undefined {
  let at = node
  for (const name of path) at = elements(at, name)[0]
  return at
}

/** An attribute by its full name (`r:id`), or by its local name under any prefix. */
export function attribute(node: XmlNode | undefined, name: string): string | undefined {
  if (node === undefined) return undefined
  return node.attributes[name] ?? Object.entries(node.attributes).find(([key]) => localName(key) === name)?.[1]
}

/** All elements of a name below a node, in order, not below another one of that name. */
export function descendants(node: XmlNode | undefined, name: string): XmlNode[] {
  return elements(node).flatMap((child) => (child.name === name ? [child] : descendants(child, name)))
}

/** All text below a node. */
export function textOf(node: XmlNode | undefined): string {
  return (node?.children ?? []).map((child) => (typeof child === 'string' ? child : textOf(child))).join('')
}

/** Whether a switch such as `<w:b/>`, `<w:b w:val="0"/>` is on. */
export function isOn(node: XmlNode | undefined): boolean {
  if (node === undefined) return false
  const value = attribute(node, 'val')
  return value === undefined || !['0', 'false', 'off', 'none'].includes(value)
}
