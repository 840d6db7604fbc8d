/**
 * Markdown: the text is the source, so offsets are the author's own. Blocks come from the parser's line maps; front matter gives the title.
 * HTML inside Markdown stays as written, but comments and hidden elements of it are blanked: they would be read by no person.
 */
import MarkdownIt from 'markdown-it'

import type { BlockKind, ParsedDocument } from '../../core/corpus.ts'
import type { ParseLimits } from '../limits.ts'
import { cleanLine } from './clean-text.ts'
import { titleOf } from './document-builder.ts'
import { blankUnseen } from './markdown-hidden.ts'
import { noteTagPlaces } from './markdown-places.ts'
import { type LineRange, SourceText } from './source-text.ts'

type Parser = InstanceType<typeof MarkdownIt>
type Token = ReturnType<Parser['parse']>[number]

const frontMatterLinesMax = 200
const nestingMax = 40
const kinds: Readonly<Record<string, BlockKind>> = {
  paragraph_open: 'paragraph',
  bullet_list_open: 'list',
  ordered_list_open: 'list',
  blockquote_open: 'quote',
  table_open: 'table',
  fence: 'code',
  code_block: 'code',
  html_block: 'paragraph',
}

/** `text` is cleaned already. */
export function parseMarkdown(text: string, limits: ParseLimits): ParsedDocument {
  const front = frontMatter(new SourceText(text, limits))
  const markdown = new MarkdownIt({ html: true, maxNesting: nestingMax })
  noteTagPlaces(markdown)
  const tokens = markdown.parse(front === null ? text : blankLines(text, front.lines), {})
  const seen = blankUnseen(text, tokens)
  const source = new SourceText(seen, limits)
  let title: string | null = front?.title ?? null
  let skipUntil = 0
  tokens.forEach((token, index) => {
    const { map, type } = token
    if (map === null || token.nesting === -1 || map[0] < skipUntil) return
    const range = { from: map[0], to: map[1] }
    const kind = kinds[type]
    if (type !== 'heading_open' && kind === undefined) return
    skipUntil = range.to
    if (kind !== undefined) source.addLines(kind, range)
    else {
      const inline = seen === text ? tokens[index + 1] : seenInline(markdown, source, range)
      const heading = { level: Number(token.tag.slice(1)), text: inlineText(inline) }
      source.addLines('heading', range, heading)
      if (heading.level === 1) title ??= titleOf(heading.text)
    }
  })
  return source.finish('text/markdown', title)
}

/** What a heading says once what nobody sees of it is blank. */
function seenInline(markdown: Parser, source: SourceText, { from, to }: LineRange): Token | undefined {
  const lines = Array.from({ length: to - from }, (_, index) => source.line(from + index))
  return markdown.parse(lines.join('\n').trim(), {}).find(({ type }) => type === 'inline')
}

/** What is seen of an inline token: text without marks, tags and link targets. */
function inlineText(token: Token | undefined): string {
  const shown = (token?.children ?? []).filter(({ type }) => type !== 'html_inline')
  const parts = shown.map((child) => (child.type === 'softbreak' || child.type === 'hardbreak' ? ' ' : child.content))
  return cleanLine(parts.join(''))
}

/** The lines of YAML before the text, with the title they give; null when there are none. */
function frontMatter(source: SourceText): { readonly lines: number; readonly title: string | null } | null {
  if (source.line(0).trimEnd() !== '---') return null
  let title: string | null = null
  for (let index = 1; index < Math.min(source.lineCount, frontMatterLinesMax); index += 1) {
    const line = source.line(index)
    if (/^(?:---|\.\.\.)\s*$/.test(line)) return { lines: index + 1, title }
    const found = /^title\s*:\s*(?:"([^"]*)"|'([^']*)'|(.*))\s*$/i.exec(line)
    title ??= titleOf(found?.[1] ?? found?.[2] ?? found?.[3])
  }
  return null
}

/** `text` with its first lines empty: every later line keeps its number. */
function blankLines(text: string, count: number): string {
  let at = 0
  for (let line = 0; line < count && at !== -1; line += 1) at = text.indexOf('\n', at) + 1 || -1
  return at === -1 ? '' : '\n'.repeat(count) + text.slice(at)
}
