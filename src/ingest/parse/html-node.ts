/** The few parts of the DOM that reading HTML needs, because the library's own types want those of a browser. */

export const elementNode = 1
export const textNode = 3

export interface HtmlNode {
  readonly nodeType: number
  /** Of an element, lower-case. */
  readonly localName?: string
  readonly childNodes: Iterable<HtmlNode>
  readonly textContent: string | null
  readonly getAttribute: (name: string) => string | null
  readonly hasAttribute: (name: string) => boolean
  readonly querySelector: (selector: string) => HtmlNode | null
  readonly querySelectorAll: (selector: string) => ArrayLike<HtmlNode> & Iterable<HtmlNode>
  readonly remove: () => void
  readonly replaceWith: (node: HtmlNode) => void
  readonly append: (...nodes: readonly HtmlNode[]) => void
}

export interface HtmlDocument extends HtmlNode {
  readonly documentElement: HtmlNode | null
  readonly cloneNode: (isDeep: boolean) => HtmlDocument
  readonly createElement: (name: string) => HtmlNode
}

/** Elements directly below, all or those of the given names. */
export function childElements(node: HtmlNode, ...names: readonly string[]): HtmlNode[] {
  return [...node.childNodes].filter(
    ({ nodeType, localName }) => nodeType === elementNode && (names.length === 0 || names.includes(localName ?? '')),
  )
}
