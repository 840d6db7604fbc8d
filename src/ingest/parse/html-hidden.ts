/** Takes out of a page what a browser would not show: by element, attribute, inline style, or a simple rule of its own style sheets. */
import { elementNode, type HtmlDocument, type HtmlNode } from './html-node.ts'

const unread = new Set(
  'script style noscript template svg math canvas iframe frame frameset object embed applet audio video source track map area link meta base button input select textarea option datalist dialog'.split(
    ' ',
  ),
)
const hiddenStyle =
  /(?:^|[;\s{])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0(?:\.0+)?\s*(?:[;!}]|$)|font-size\s*:\s*0(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:[;!}]|$)|(?:text-indent|left|top)\s*:\s*-\d{4,}|clip\s*:\s*rect\(\s*0)/i
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
const styleCharsMax = 500_000
const rulesMax = 5_000

/** Removes comments and everything unseen from the page; the page's title and its base address stay readable. */
export function removeHidden(document: HtmlDocument): void {
  const hidden = hiddenNames(document)
  if (document.documentElement !== null) prune(document.documentElement, hidden, false)
}

/** Classes and ids, as `.name` and `#name`, that a style sheet of the page hides outside of media queries. */
function hiddenNames(document: HtmlDocument): ReadonlySet<string> {
  const names = new Set<string>()
  const css = [...document.querySelectorAll('style')].map((node) => node.textContent ?? '').join('\n')
  const plain = css
    .slice(0, styleCharsMax)
    .replace(/\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\//g, '')
    .replace(/@[^{;]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}/g, '')
  for (const [, selectors = '', body = ''] of plain.matchAll(/([^{}]{1,2000})\{([^{}]*)\}/g)) {
    if (!hiddenStyle.test(body) || names.size >= rulesMax) continue
    for (const selector of selectors.split(',')) if (/^\s*[.#][\w-]+\s*$/.test(selector)) names.add(selector.trim())
  }
  return names
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
  if (unread.has(name) || node.hasAttribute('hidden') || node.getAttribute('aria-hidden') === 'true') return true
  if (hiddenStyle.test(node.getAttribute('style') ?? '')) return true
  const id = node.getAttribute('id')
  if (id !== null && hidden.has(`#${id}`)) return true
  const classes = (node.getAttribute('class') ?? '').split(/\s+/)
  return classes.some((one) => aids.has(one) || hidden.has(`.${one}`))
}
