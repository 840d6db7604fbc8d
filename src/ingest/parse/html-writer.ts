/** Writes the tree of a page as blocks: text flows until an element that stands on its own begins. */
import type { DocumentBuilder } from './document-builder.ts'
import { htmlGrid } from './html-grid.ts'
import { childElements, elementNode, textNode, type HtmlNode } from './html-node.ts'
import { tableText } from './table-text.ts'

const listDepthMax = 8
/** Text flows on through these; any other element that is not known begins a paragraph. */
const inline = new Set(
  'a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark nobr output picture q rp rt ruby s samp small span strike strong sub sup time tt u var wbr'.split(
    ' ',
  ),
)
const ownBlocks = 'table, pre, h1, h2, h3, h4, h5, h6'

export class HtmlWriter {
  readonly #builder: DocumentBuilder
  readonly #base: string | null
  #flow = ''

  constructor(builder: DocumentBuilder, base: string | null) {
    this.#builder = builder
    this.#base = base
  }

  /** Writes all that is in `node`. */
  writeInside(node: HtmlNode): void {
    for (const child of node.childNodes) this.#write(child)
    this.#endFlow()
  }

  #endFlow(): void {
    const text = tidy(this.#flow)
    this.#flow = ''
    this.#builder.add('paragraph', text)
  }

  #write(node: HtmlNode): void {
    const name = node.localName ?? ''
    if (node.nodeType === textNode) this.#flow += collapse(node.textContent)
    else if (node.nodeType === elementNode && (name === 'br' || inline.has(name)) && node.querySelector(ownBlocks) === null)
      this.#flow += this.#inlineText(node)
    else if (node.nodeType === elementNode) {
      this.#endFlow()
      this.#writeBlock(node, name)
    }
  }

  #writeBlock(node: HtmlNode, name: string): void {
    if (/^h[1-6]$/.test(name)) this.#builder.add('heading', this.#textInside(node), { level: Number(name.slice(1)) })
    else if (name === 'pre') this.#builder.add('code', node.textContent ?? '')
    else if (name === 'blockquote' && node.querySelector(ownBlocks) === null) this.#builder.add('quote', this.#textInside(node))
    else if (name === 'table') this.#writeTable(node)
    else if ((name === 'ul' || name === 'ol') && node.querySelector(ownBlocks) === null)
      this.#builder.add('list', this.#listLines(node, 0).join('\n'))
    else if (name === 'dl' && node.querySelector(ownBlocks) === null) this.#builder.add('list', this.#termLines(node).join('\n'))
    else this.writeInside(node)
  }

  /** A table that only places things (one cell, or headings or mostly other tables inside) is no table. */
  #writeTable(node: HtmlNode): void {
    const nested = [...node.querySelectorAll('table')].reduce((sum, table) => sum + (table.textContent ?? '').length, 0)
    const isLayout = nested * 2 > (node.textContent ?? '').length || node.querySelector('h1, h2, h3') !== null
    const grid = !isLayout ? htmlGrid(node, (cell) => this.#textInside(cell)) : []
    if (grid.length === 0 || (grid.length === 1 && (grid[0]?.length ?? 0) <= 1)) {
      this.writeInside(node)
      return
    }
    const caption = childElements(node, 'caption')[0]
    if (caption !== undefined) this.#builder.add('paragraph', this.#textInside(caption))
    this.#builder.add('table', tableText(grid))
  }

  #listLines(list: HtmlNode, depth: number): string[] {
    const isNumbered = list.localName === 'ol'
    let number = (Number(list.getAttribute('start') ?? 1) || 1) - 1
    return childElements(list).flatMap((item) => {
      if (item.localName === 'ul' || item.localName === 'ol') return this.#listLines(item, depth + 1)
      number += 1
      const inner: string[] = []
      const text = this.#itemText(item, depth, inner)
      const line = `${'  '.repeat(depth)}${isNumbered ? `${number}.` : '-'} ${text}`
      return text === '' ? inner : [line, ...inner]
    })
  }

  /** The text of an item without its inner lists, whose lines go into `inner`. */
  #itemText(item: HtmlNode, depth: number, inner: string[]): string {
    let text = ''
    for (const child of item.childNodes) {
      const isList = child.localName === 'ul' || child.localName === 'ol'
      if (isList && depth < listDepthMax) inner.push(...this.#listLines(child, depth + 1))
      else text += this.#inlineText(child)
    }
    return tidy(text).replaceAll('\n', ' ')
  }

  #termLines(list: HtmlNode): string[] {
    return childElements(list).flatMap((node) => {
      if (node.localName === 'div') return this.#termLines(node)
      const text = this.#textInside(node).replaceAll('\n', ' ')
      return [node.localName === 'dd' ? `  ${text}` : text]
    })
  }

  #textInside(node: HtmlNode): string {
    return tidy([...node.childNodes].map((child) => this.#inlineText(child)).join(''))
  }

  #inlineText(node: HtmlNode): string {
    if (node.nodeType === textNode) return collapse(node.textContent)
    if (node.nodeType !== elementNode) return ''
    const name = node.localName ?? ''
    if (name === 'br') return '\n'
    if (name === 'rt' || name === 'rp') return ''
    if (name === 'img') return ` ${collapse(node.getAttribute('alt'))} `
    const text = [...node.childNodes].map((child) => this.#inlineText(child)).join('')
    if (name === 'a') return this.#linkText(node, text)
    if (name === 'q') return `"${text}"`
    return inline.has(name) ? text : ` ${text} `
  }

  /** `text (address)` when the address leads out of the page and the text does not say it already. */
  #linkText(node: HtmlNode, text: string): string {
    const address = this.#address(node.getAttribute('href') ?? '')
    const shown = text.trim()
    if (address === null || shown === '' || address.includes(shown)) return text
    return `${text.trimEnd()} (${address})${/\s$/.test(text) ? ' ' : ''}`
  }

  #address(href: string): string | null {
    if (href === '' || href.startsWith('#')) return null
    const isAbsolute = /^(?:https?:\/\/|mailto:)/i.test(href)
    if (!isAbsolute && (this.#base === null || /^[a-z][a-z0-9+.-]*:/i.test(href))) return null
    const url = URL.parse(href, this.#base ?? undefined)
    return url === null ? null : url.href
  }
}

function collapse(text: string | null): string {
  return (text ?? '').replace(/[\s\u00a0]+/gu, ' ')
}

function tidy(text: string): string {
  return text
    .replace(/ *\n */g, '\n')
    .replace(/ {2,}/g, ' ')
    .trim()
}
