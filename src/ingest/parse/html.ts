/**
 * HTML: the main content of a page as headings, paragraphs, lists, tables, code and quotes. Nothing runs and nothing is loaded. What a reader
 * cannot see (hidden elements, comments, scripts, form controls) is dropped before anything else looks at the page.
 */
import { Readability } from '@mozilla/readability'
import { parseHTML } from 'linkedom'

import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { DocumentBuilder, titleOf } from './document-builder.ts'
import { removeHidden } from './html-hidden.ts'
import { elementNode, type HtmlDocument, type HtmlNode } from './html-node.ts'
import { HtmlWriter } from './html-writer.ts'

const depthMax = 500
/** Of tags that are opened and not closed; sloppy pages have many that are never closed. */
const tagDepthMax = 5_000
/** Elements that hold nothing, or end by themselves when the next one begins. */
const unnested =
  /^(?:area|base|br|col|colgroup|dd|dt|embed|hr|img|input|li|link|meta|optgroup|option|p|param|source|tbody|td|tfoot|th|thead|tr|track|wbr)$/i
const readableElementsMax = 40_000
const readableCharsMin = 250
/** A smaller share of the page's text than this is not its main content, but a guess gone wrong. */
const readableShareMin = 0.25
const furniture = 'nav, footer, aside, [role=navigation], [role=banner], [role=contentinfo], [role=complementary], [role=search]'

/** An aside that is part of the text: a note, a warning, or whatever its author put into an article. Any other is a sidebar. */
const noteRoles = '[role=note], [role=alert], [role=doc-tip], [role=doc-notice]'
const noteClass = /(?:^|[\s_-])(?:aside|admonition|callout|note|tip|info|important|caution|warning|danger|alert)(?:$|[\s_-])/i

/** `text` is decoded, not cleaned. Throws `document_too_large` and `document_broken`. */
export function parseHtml(text: string, limits: ParseLimits): ParsedDocument {
  const builder = new DocumentBuilder(limits)
  const title = addHtml(builder, text, limits)
  return builder.finish('text/html', { title })
}

/** Adds the main content of a page to a document; gives its title. */
export function addHtml(builder: DocumentBuilder, text: string, limits: ParseLimits): string | null {
  if (text.length > limits.htmlBytes) throw new CorralError('document_too_large', `the HTML is longer than ${limits.htmlBytes} characters`)
  const document = readDocument(text)
  removeHidden(document)
  const title = titleOf(document.querySelector('title')?.textContent)
  const base = baseAddress(document)
  keepNotes(document)
  const root = mainContent(document)
  const writer = new HtmlWriter(builder, base)
  writer.writeInside(root)
  return title
}

function readDocument(text: string): HtmlDocument {
  assertTagDepth(text)
  const isPage = /<(?:html|body)[\s>]/i.test(text)
  const { document }: { document: HtmlDocument } = parseHTML(
    isPage ? text : `<!doctype html><html><head></head><body>${text}</body></html>`,
  )
  assertDepth(document)
  return document
}

/** The parser itself takes time with the square of the depth, so absurd depths are told from the tags alone. */
function assertTagDepth(text: string): void {
  let depth = 0
  for (const [, slash, name = ''] of text.matchAll(/<(\/?)([a-z][a-z0-9-]*)/gi)) {
    if (unnested.test(name)) continue
    depth = slash === '/' ? Math.max(0, depth - 1) : depth + 1
    if (depth > tagDepthMax) throw tooDeep(tagDepthMax)
  }
}

function tooDeep(levels: number): CorralError {
  return new CorralError('document_broken', `the HTML is nested more than ${levels} levels deep`)
}

/** Every later step walks the tree by recursion. */
function assertDepth(document: HtmlDocument): void {
  let level: HtmlNode[] = document.documentElement === null ? [] : [document.documentElement]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > depthMax) throw tooDeep(depthMax)
    level = level.flatMap((node) => [...node.childNodes].filter(({ nodeType }) => nodeType === elementNode))
  }
}

function baseAddress(document: HtmlDocument): string | null {
  const candidates = [
    document.querySelector('base')?.getAttribute('href'),
    document.querySelector('link[rel=canonical]')?.getAttribute('href'),
  ]
  return candidates.find((address) => address !== null && address !== undefined && /^https?:\/\//i.test(address)) ?? null
}

/** Makes sections of the asides that are part of the text: what looks for the main content, Readability too, takes every aside for a sidebar. */
function keepNotes(document: HtmlDocument): void {
  const known = new Set(document.querySelectorAll(`:is(${noteRoles}), article aside`))
  for (const aside of Array.from(document.querySelectorAll('aside'))) {
    if (!known.has(aside) && !noteClass.test(aside.getAttribute('class') ?? '')) continue
    const section = document.createElement('section')
    for (const child of Array.from(aside.childNodes)) section.append(child)
    aside.replaceWith(section)
  }
}

/** What the page itself marks as its main part; else what Readability finds, if it is enough; else the body without its furniture. */
function mainContent(document: HtmlDocument): HtmlNode {
  const body = document.querySelector('body') ?? document.documentElement
  if (body === null) throw new CorralError('document_broken', 'the HTML has no body')
  const articles = document.querySelectorAll('article')
  const marked = document.querySelector('main, [role=main]') ?? (articles.length === 1 ? (articles[0] ?? null) : null)
  const whole = textLength(body)
  if (marked !== null && textLength(marked) >= whole * readableShareMin) {
    for (const node of marked.querySelectorAll(furniture)) node.remove()
    return marked
  }
  const article = readable(document)
  if (article !== null && textLength(article) >= Math.max(readableCharsMin, whole * readableShareMin)) return article
  for (const node of body.querySelectorAll(furniture)) node.remove()
  return body
}

function textLength(node: HtmlNode): number {
  return (node.textContent ?? '').replace(/\s+/gu, ' ').length
}

/** Readability changes the page it reads, so it reads a copy; it gives up on pages it does not understand by throwing or by null. */
function readable(document: HtmlDocument): HtmlNode | null {
  const elements = document.querySelectorAll('*').length
  if (elements > readableElementsMax) return null
  const copy: HtmlDocument = document.cloneNode(true)
  try {
    const options = { keepClasses: false, disableJSONLD: true, serializer: (node: unknown) => node }
    const content = new Readability<unknown>(copy, options).parse()?.content
    return isNode(content) ? content : null
  } catch {
    return null
  }
}

function isNode(value: unknown): value is HtmlNode {
  return typeof value === 'object' && value !== null && 'childNodes' in value && 'nodeType' in value
}
