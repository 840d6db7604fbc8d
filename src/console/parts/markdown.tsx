/**
 * Markdown of an answer as elements: paragraphs, headings, lists, quotes, code, tables as they stand, emphasis, links to http(s). Everything
 * is text to React; nothing becomes HTML, no image is loaded, and what is not understood stays as it was written. Citations arrive as private
 * characters around their index, which no answer holds otherwise.
 */
import { Fragment, type ReactNode } from 'react'

export interface MarkdownProps {
  readonly text: string
  /** What stands for the citation with this index. */
  readonly cite: (index: number) => ReactNode
}

type Block =
  | { readonly kind: 'code' | 'paragraph' | 'heading' | 'quote'; readonly text: string }
  | { readonly kind: 'list'; readonly ordered: boolean; readonly items: readonly string[] }

const fence = /^\s*(?:```|~~~)/
const item = /^\s*(?:[-*+]|(\d+)[.)])\s+/

export function Markdown({ text, cite }: MarkdownProps) {
  return (
    <div className="flex flex-col gap-3 wrap-anywhere">
      {blocksOf(text).map((block, index) => (
        // Blocks only ever grow at the end of an answer.
        <BlockView key={index} block={block} cite={cite} />
      ))}
    </div>
  )
}

function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  const lines = text.split('\n')
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    if (line.trim() === '') continue
    if (fence.test(line)) {
      blocks.push({ kind: 'code', text: takeWhile(lines, (next) => !fence.test(next)).join('\n') })
      lines.shift()
    } else if (/^#{1,6}\s/.test(line)) blocks.push({ kind: 'heading', text: line.replace(/^#+\s+/, '') })
    else if (item.test(line)) {
      const ordered = item.exec(line)?.[1] !== undefined
      const rest = takeWhile(lines, (next) => item.test(next))
      blocks.push({ kind: 'list', ordered, items: [line, ...rest].map((each) => each.replace(item, '')) })
    } else if (line.startsWith('>')) {
      const rest = takeWhile(lines, (next) => next.startsWith('>'))
      blocks.push({ kind: 'quote', text: [line, ...rest].map((each) => each.replace(/^>\s?/, '')).join('\n') })
    } else blocks.push({ kind: 'paragraph', text: [line, ...takeWhile(lines, isPlain)].join('\n') })
  }
  return blocks
}

const isPlain = (line: string): boolean => line.trim() !== '' && !fence.test(line) && !item.test(line) && !/^(?:#{1,6}\s|>)/.test(line)

function takeWhile(lines: string[], belongs: (line: string) => boolean): string[] {
  const end = lines.findIndex((line) => !belongs(line))
  return lines.splice(0, end === -1 ? lines.length : end)
}

function BlockView({ block, cite }: { readonly block: Block; readonly cite: MarkdownProps['cite'] }) {
  switch (block.kind) {
    case 'code':
      return (
        <pre className="overflow-x-auto rounded-md bg-raised px-3 py-2 text-sm" tabIndex={0} role="group" aria-label="Code">
          {block.text}
        </pre>
      )
    case 'heading':
      return <p className="font-semibold">{inline(block.text, cite)}</p>
    case 'quote':
      return <blockquote className="border-l-2 border-line pl-3 whitespace-pre-line text-quiet">{inline(block.text, cite)}</blockquote>
    case 'list': {
      const List = block.ordered ? 'ol' : 'ul'
      return (
        <List className={`pl-5 ${block.ordered ? 'list-decimal' : 'list-disc'}`}>
          {block.items.map((each, index) => (
            <li key={index}>{inline(each, cite)}</li>
          ))}
        </List>
      )
    }
    case 'paragraph':
      return <p className="whitespace-pre-line">{inline(block.text, cite)}</p>
  }
}

const spans = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\*([^*\s][^*\n]*)\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|\uE000(\d+)\uE001/g

function inline(text: string, cite: MarkdownProps['cite']): ReactNode[] {
  const parts: ReactNode[] = []
  let at = 0
  for (const match of text.matchAll(spans)) {
    const [whole, code, strong, weak, label, url, cited] = match
    parts.push(text.slice(at, match.index))
    at = match.index + whole.length
    const key = match.index
    if (code !== undefined) parts.push(<code key={key}>{code}</code>)
    else if (strong !== undefined) parts.push(<strong key={key}>{inline(strong, cite)}</strong>)
    else if (weak !== undefined) parts.push(<em key={key}>{inline(weak, cite)}</em>)
    else if (url !== undefined) parts.push(linkTo(url, label ?? url, key))
    else parts.push(<Fragment key={key}>{cite(Number(cited))}</Fragment>)
  }
  parts.push(text.slice(at))
  return parts
}

function linkTo(url: string, label: string, key: number): ReactNode {
  return (
    <a key={key} href={url} className="link" target="_blank" rel="noopener noreferrer nofollow">
      {label}
    </a>
  )
}
