/** Takes out of a page what a browser would not show: by element, attribute, inline style, or a simple rule of its own style sheets. */
import { hiddenSelectors, hidesByStyle, isSelected } from './css-hidden.ts'
import { elementNode, type HtmlDocument, type HtmlNode } from './html-node.ts'

const unread = new Set(
  'script style noscript template svg math canvas iframe frame frameset object embed applet audio video source track map area link meta base button input select textarea option datalist dialog'.split(
    ' ',
  ),
)
/** Aids of a site that are no part of its text, such as the "edit" beside each heading of a wiki. */
const aids = new Set([
  'mw-editsection',
  'noprint',
  'sr-only',
  'visually-hidden',
  'screen-reader-text',
  'headerlink',
  'vector-dropdown',
  'navbox',
  'catlinks',
  'printfooter',
])

/** Removes comments and everything unseen from the page; the page's title and its base address stay readable. */
export function removeHidden(document: HtmlDocument): void {
  const hidden = hiddenSelectors([...document.querySelectorAll('style')].map((node) => node.textContent ?? '').join('\n'))
  if (document.documentElement !== null) prune(document.documentElement, hidden, false)
}

function prune(node: HtmlNode, hidden: ReadonlySet<string>, isHead: boolean): void {
  // A copy of the list: removing a node shortens it.
  for (const child of Array.from(node.childNodes)) {
    if (child.nodeType === 8) child.remove()
    if (child.nodeType !== elementNode) continue
    const name = child.localName ?? ''
    if (isHead && ['title', 'link', 'base', 'meta'].includes(name)) continue
    if (isUnseen(child, name, hidden)) child.remove()
    else prune(child, hidden, name === 'head')
  }
}

function isUnseen(node: HtmlNode, name: string, hidden: ReadonlySet<string>): boolean {
  if (isUnseenElement(name, (attribute) => node.getAttribute(attribute))) return true
  const classes = (node.getAttribute('class') ?? '').split(/\s+/)
  return classes.some((one) => aids.has(one)) || isSelected(hidden, { name, id: node.getAttribute('id'), classes })
}

/** Whether an element says by itself that it is not shown, by its name (lower-case) or an attribute. */
export function isUnseenElement(name: string, attribute: (name: string) => string | null): boolean {
  if (unread.has(name) || attribute('hidden') !== null || attribute('aria-hidden') === 'true') return true
  return hidesByStyle(attribute('style') ?? '')
}
