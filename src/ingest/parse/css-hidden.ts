/** Which style declarations and which simple rules of a style sheet hide what they apply to, in HTML and SVG alike. */

const styleCharsMax = 500_000
const rulesMax = 5_000

const zero = String.raw`0(?:\.0+)?(?:px|pt|em|rem|ex|ch|vw|vh|%)?`
const declarationEnd = String.raw`\s*(?:[;!}]|$)`
const hidingDeclarations = [
  String.raw`(?:display|content-visibility)\s*:\s*(?:none|hidden)`,
  String.raw`visibility\s*:\s*(?:hidden|collapse)`,
  String.raw`(?:opacity|fill-opacity|font-size)\s*:\s*${zero}${declarationEnd}`,
  String.raw`font\s*:\s*${zero}[\s/]`,
  String.raw`transform\s*:\s*scale\(\s*0\s*[,)]`,
  String.raw`(?:text-indent|left|top)\s*:\s*-\d{4,}`,
  String.raw`clip\s*:\s*rect\(\s*0`,
  String.raw`clip-path\s*:\s*inset\(\s*(?:50|100)%`,
]
const hidingStyle = new RegExp(String.raw`(?:^|[;\s{])(?:${hidingDeclarations.join('|')})`, 'i')
const flatBox = new RegExp(String.raw`(?:^|[;\s{])(?:height|width)\s*:\s*${zero}${declarationEnd}`, 'i')
const clippedBox = /(?:^|[;\s{])overflow\s*:\s*(?:hidden|clip)/i

/** What a rule of a style sheet is matched against. */
export interface StyledElement {
  /** Local name. */
  readonly name: string
  readonly id: string | null
  readonly classes: readonly string[]
}

/** Whether declarations, as a `style` attribute or a rule's body holds them, leave nothing to see. */
export function hidesByStyle(declarations: string): boolean {
  return hidingStyle.test(declarations) || (flatBox.test(declarations) && clippedBox.test(declarations))
}

/**
 * Selectors that a style sheet hides outside of media queries: `.name`, `#name`, each also behind an element's name. Others are passed over.
 * No pattern begins again within what it has looked at in vain: that would take the square of the sheet's length.
 */
export function hiddenSelectors(css: string): ReadonlySet<string> {
  const selected = new Set<string>()
  const plain = css
    .slice(0, styleCharsMax)
    .replace(/\/\*[\s\S]*?(?:\*\/|$)/g, '')
    .replace(/@[^{};@]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}/g, '')
  for (const [, selectors = '', body = ''] of plain.matchAll(/(?<![^{}])([^{}]+)\{([^{}]*)\}/g)) {
    if (selected.size >= rulesMax || !hidesByStyle(body)) continue
    for (const selector of selectors.split(',')) if (/^\s*[a-z]*[.#][\w-]+\s*$/i.test(selector)) selected.add(selector.trim())
  }
  return selected
}

/** Whether one of `selectors` is for this element. */
export function isSelected(selectors: ReadonlySet<string>, { name, id, classes }: StyledElement): boolean {
  if (selectors.size === 0) return false
  const own = classes.map((one) => `.${one}`)
  if (id !== null) own.push(`#${id}`)
  return own.some((selector) => selectors.has(selector) || selectors.has(name + selector))
}
