/**
 * XML of no known kind (feeds, SVG, exports): the text of each innermost element as a paragraph, of drawings only what is shown.
 * Under the rules of `xml.ts`: no DTD, bounded depth.
 */
import type { ParsedDocument } from '../../core/corpus.ts'
import type { ParseLimits } from '../limits.ts'
import { DocumentBuilder } from './document-builder.ts'
import { withoutUnseen } from './svg-hidden.ts'
import { elements, readXml, textOf, type XmlNode } from './xml.ts'

/** Where the root element begins at the latest. */
const prologChars = 100_000

/** `text` is cleaned already. Throws `document_broken`. */
export async function parseXmlText(text: string, limits: ParseLimits): Promise<ParsedDocument> {
  const builder = new DocumentBuilder(limits)
  const root = /<([A-Za-z_][\w.:-]*)[\s/>]/.exec(text.slice(0, prologChars).replace(/<(?:\?|!--)[\s\S]*?(?:\?|--)>/g, ''))?.[1] ?? ''
  const bytes = new TextEncoder().encode(text.replace(/^\s*<\?xml[^>]*\?>/, ''))
  await readXml(single(bytes), {
    limits,
    wanted: [root.slice(root.indexOf(':') + 1)],
    onNode: (node) => addTexts(builder, withoutUnseen(node)),
  })
  return builder.finish('application/xml')
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

function addTexts(builder: DocumentBuilder, node: XmlNode): void {
  const inner = elements(node)
  if (inner.length === 0) builder.add('paragraph', textOf(node), { gap: '\n' })
  else {
    builder.add('paragraph', node.children.filter((child) => typeof child === 'string').join(' '), { gap: '\n' })
    for (const child of inner) addTexts(builder, child)
  }
}
