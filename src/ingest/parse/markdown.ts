/**
 * Markdown: the text is the source, so offsets are the author's own. Blocks come from the parser's line maps; front matter gives the title.
 * HTML inside Markdown stays as written, but comments and hidden elements of it are no blocks: they would be read by no person.
 */
import MarkdownIt from 'markdown-it'

import type { BlockKind, ParsedDocument } from '../../core/corpus.ts'
import type { ParseLimits } from '../limits.ts'
import { cleanLine } from './clean-text.ts'
import { titleOf } from './document-builder.ts'
import { SourceText } from './source-text.ts'

type Token = ReturnType<InstanceType<typeof MarkdownIt>['parse']>[number]

const frontMatterLinesMax = 200
const nestingMax = 40
const hiddenHtml = /^\s*<(?:!--|script\b|style\b|template\b|[a-z]+[^>]*\s(?:hidden\b|style\s*=\s*["'][^"']*display\s*:\s*none))/i

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
  const source = new SourceText(text, limits)
  const front = frontMatter(source)
  const body = front === null ? text : blankLines(text, front.lines)
  const tokens = new MarkdownIt({ html: true, maxNesting: nestingMax }).parse(body, {})
  let title: string | null = front?.title ?? null
  let skipUntil = 0
  tokens.forEach((token, index) => {
    if (token.map === null || token.nesting === -1 || token.map[0] < skipUntil) return
    const [from, to] = token.map
    if (token.type === 'heading_open') {
      const heading = { level: Number(token.tag.slice(1)), text: inlineText(tokens[index + 1]) }
      source.addLines('heading', { from, to }, heading)
      if (heading.level === 1) title ??= titleOf(heading.text)
      skipUntil = to
      return
    }
    const kind = kinds[token.type]
    if (kind === undefined) return
    skipUntil = to
    if (token.type === 'html_block' && hiddenHtml.test(token.content)) return
    source.addLines(kind, { from, to })
  })
  return source.finish('text/markdown', title)
}

/** What is seen of an inline token: text without marks and link targets. */
function inlineText(token: Token | undefined): string {
  const parts = (token?.children ?? []).map((child) => (child.type === 'softbreak' || child.type === 'hardbreak' ? ' ' : child.content))
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
