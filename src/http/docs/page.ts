/**
 * One page of the manual as HTML: Markdown without raw HTML, headings that can be linked to, and links between pages rewritten to where
 * they are served. A link to a file that is not served here (the source, a benchmark) becomes plain text: offline it would lead nowhere.
 */
import type MarkdownIt from 'markdown-it'
import { posix } from 'node:path'

type Token = ReturnType<InstanceType<typeof MarkdownIt>['parse']>[number]

export interface PageSource {
  /** Path in the project, such as `docs/start.md`. */
  readonly page: string
  readonly text: string
  /** The page that lists all others. */
  readonly index: string
  /** The name under which a path of the project is served; null where it is not. */
  readonly known: (path: string) => string | null
}

/** The whole document. */
export async function renderPage({ page, text, index, known }: PageSource): Promise<string> {
  const { default: Markdown } = await import('markdown-it')
  const markdown = new Markdown({ html: false, linkify: false })
  const own = known(page) ?? ''
  // Relative, so that they hold behind a proxy that put a path before all of them.
  const toRoot = '../'.repeat(own.split('/').length - 1)
  const placed = (name: string | null): string | null => (name === null ? null : toRoot + name || './')
  // Scripts find their place by comments, which are for nobody else.
  const parse = (source: string, path: string): Token[] => {
    const tokens = markdown.parse(source.replace(/^<!--.*-->$/gm, ''), {})
    linkTokens(tokens, (href) => rewrite(href, path, (linked) => placed(known(linked))))
    return tokens
  }
  const tokens = parse(text, page)
  const title = addHeadingIds(tokens) ?? page
  const links = parse(index, 'docs/README.md')
    .flatMap(({ children }) => children ?? [])
    .map((token, at, all) => ({ href: token.type === 'link_open' ? String(token.attrGet('href')) : '', text: all[at + 1]?.content ?? '' }))
    .filter(({ href }) => href !== '' && !isElsewhere(href))
  const navigation = links.map(({ href, text: name }) => {
    const current = href === placed(own) ? ' aria-current="page"' : ''
    return `<li><a href="${escape(href)}"${current}>${escape(name)}</a></li>`
  })
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)} · Corral</title>
<link rel="stylesheet" href="${toRoot}style.css">
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<header><a href="${placed('')}">Corral: the manual</a><a href="${toRoot}../console/">Console</a></header>
<nav aria-label="All pages"><details><summary>All pages</summary><ul>${navigation.join('')}</ul></details></nav>
<main id="content">
${markdown.renderer.render(tokens, markdown.options, {})}</main>
</body>
</html>
`
}

/** Sets the address of each link and picture; those without one become text. */
function linkTokens(tokens: readonly Token[], resolve: (href: string) => string | null): void {
  for (const { children } of tokens) {
    const open: Token[] = []
    for (const token of children ?? []) {
      if (token.type === 'link_open') {
        open.push(token)
        setAddress(token, resolve(String(token.attrGet('href'))))
      }
      if (token.type === 'link_close') token.tag = open.pop()?.tag ?? 'a'
      if (token.type === 'image') token.attrSet('src', resolve(String(token.attrGet('src'))) ?? '')
    }
  }
}

function setAddress(link: Token, href: string | null): void {
  if (href === null) [link.tag, link.attrs] = ['span', null]
  else link.attrSet('href', href)
}

const isElsewhere = (href: string): boolean => /^[a-z]+:/i.test(href) || href.startsWith('#')

/** Where a link of `page` leads here; null: nowhere. `known`: the address of a path of the project. */
function rewrite(href: string, page: string, known: PageSource['known']): string | null {
  if (isElsewhere(href)) return href
  const [path = '', anchor] = href.split('#', 2)
  const address = known(posix.join(posix.dirname(page), path).replace(/\/$/, ''))
  return address === null ? null : `${address}${anchor === undefined ? '' : `#${anchor}`}`
}

/** Gives each heading the id that the usual viewers of Markdown give it, and returns the text of the first. */
function addHeadingIds(tokens: readonly Token[]): string | null {
  const seen = new Map<string, number>()
  let title: string | null = null
  tokens.forEach((token, at) => {
    if (token.type !== 'heading_open') return
    const text = (tokens[at + 1]?.children ?? []).map(({ content }) => content).join('')
    title ??= text
    const slug = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-')
    const times = seen.get(slug) ?? 0
    seen.set(slug, times + 1)
    token.attrSet('id', times === 0 ? slug : `${slug}-${times}`)
  })
  return title
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
