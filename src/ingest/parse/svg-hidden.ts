/** Takes out of a drawing what a viewer would not show: by element, attribute, inline style, or a simple rule of its own style sheets. */
import { hiddenSelectors, hidesByStyle, isSelected } from './css-hidden.ts'
import { isUnseenElement } from './html-hidden.ts'
import { descendants, textOf, type XmlNode } from './xml.ts'

/** Never drawn where they stand. */
const undrawn = new Set('clipPath defs filter linearGradient marker mask metadata pattern radialGradient symbol'.split(' '))
/** Attributes that say the same as a style declaration of their name. */
const presentation = ['display', 'visibility', 'opacity', 'fill-opacity', 'font-size', 'transform'] as const
/** Coordinates so far off are out of every view. */
const farOff = /^\s*-\d{4,}/

/** A copy of a tree whose drawings (`svg` elements) are without what nobody sees. */
export function withoutUnseen(node: XmlNode): XmlNode {
  if (node.name === 'svg') return shown(node, hiddenSelectors(descendants(node, 'style').map(textOf).join('\n')))
  return { ...node, children: node.children.map((child) => (typeof child === 'string' ? child : withoutUnseen(child))) }
}

function shown(node: XmlNode, hidden: ReadonlySet<string>): XmlNode {
  const children = node.children.filter((child) => typeof child === 'string' || !isUnseen(child, hidden))
  return { ...node, children: children.map((child) => (typeof child === 'string' ? child : shown(child, hidden))) }
}

function isUnseen({ name, attributes }: XmlNode, hidden: ReadonlySet<string>): boolean {
  // A drawing in a drawing is shown; all else as HTML has it, which may stand in a `foreignObject`.
  const known = name === 'svg' ? 'g' : name
  if (undrawn.has(name) || isUnseenElement(known, (key) => attributes[key] ?? null)) return true
  if (hidesByStyle(presentation.map((property) => `${property}:${attributes[property] ?? ''}`).join(';'))) return true
  if (farOff.test(attributes['x'] ?? '') || farOff.test(attributes['y'] ?? '')) return true
  return isSelected(hidden, { name, id: attributes['id'] ?? null, classes: (attributes['class'] ?? '').split(/\s+/) })
}
