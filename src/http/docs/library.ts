/**
 * The manual in memory: which pages and files there are, each made into HTML when it is first asked for and kept. Only names that were
 * found in the folder at the start are known, so no path can lead anywhere else.
 */
import { hash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

import type { Asset } from '../send-asset.ts'
import { renderLlmsText } from './llms-text.ts'
import { renderPage } from './page.ts'

export interface Library {
  /** Names below `/docs/`; the empty one is the index. */
  readonly names: readonly string[]
  /** Null: there is no such page. Rejects when its file cannot be read, and tries again the next time. */
  find(name: string): Promise<Asset> | null
}

interface Source {
  readonly file: string
  readonly type: string
  /** Its path in the project, where it is a page to be made into HTML. */
  readonly page: string | null
  /** Of the list for language models: the way from it to the manual. */
  readonly listsFrom?: string
}

/** Below `/docs/`, and beside it, where it is looked for. */
const llmsNames = { 'llms.txt': '', '../llms.txt': 'docs/' } as const

const compress = promisify(gzip)

const html = 'text/html; charset=utf-8'
const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  md: 'text/markdown; charset=utf-8',
  png: 'image/png',
  svg: 'image/svg+xml',
}
/** Beside the manual, since its pages send readers there. */
const extras: Readonly<Record<string, string>> = {
  'config/default.yaml': 'text/plain; charset=utf-8',
  'config/schema.json': 'application/json',
}

/** The project's folder: of a package or image, whose bundle lies in dist/, or of a checkout. */
const roots = [join(import.meta.dirname, '..'), join(import.meta.dirname, '../../..')]

/** What the folder holds; empty when the manual was not installed. */
export function openLibrary(candidates: readonly string[] = roots): Library {
  const root = candidates.find((candidate) => existsSync(join(candidate, 'docs/README.md')))
  const sources = root === undefined ? new Map<string, Source>() : listSources(root)
  const known = (path: string): string | null => nameOf(path, sources)
  const index = async (): Promise<string> => readFile(sources.get('README.md')?.file ?? '', 'utf8')
  const read = async ({ file, page, listsFrom }: Source): Promise<Buffer<ArrayBuffer>> => {
    if (listsFrom !== undefined) return Buffer.from(renderLlmsText(await index(), listsFrom))
    if (page === null) return readFile(file)
    return Buffer.from(await renderPage({ page, text: await readFile(file, 'utf8'), index: await index(), known }))
  }
  const make = async (source: Source): Promise<Asset> => {
    const { type } = source
    const bytes = await read(source)
    const etag = `"${hash('sha256', bytes, 'base64url').slice(0, 22)}"`
    return { type, bytes, etag, immutable: false, gzip: await compress(bytes), brotli: null }
  }
  const kept = new Map<string, Promise<Asset>>()
  return {
    names: [...sources.keys()],
    find(name) {
      const source = sources.get(name)
      if (source === undefined) return null
      const asset = kept.get(name) ?? make(source)
      kept.set(name, asset)
      asset.catch(() => kept.delete(name))
      return asset
    },
  }
}

/** Each page under its name without `.md`, and as Markdown with it. */
function listSources(root: string): Map<string, Source> {
  const sources = new Map<string, Source>()
  for (const entry of readdirSync(join(root, 'docs'), { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name)
    const name = file
      .slice(join(root, 'docs').length + 1)
      .split(sep)
      .join('/')
    const type = types[name.slice(name.lastIndexOf('.') + 1)]
    if (type === undefined || !entry.isFile()) continue
    sources.set(name, { file, type, page: null })
    if (name.endsWith('.md')) sources.set(pageName(name), { file, type: html, page: `docs/${name}` })
  }
  for (const [name, listsFrom] of Object.entries(llmsNames)) {
    sources.set(name, { file: join(root, 'docs/README.md'), type: 'text/plain; charset=utf-8', page: null, listsFrom })
  }
  for (const [name, type] of Object.entries(extras)) sources.set(name, { file: join(root, name), type, page: null })
  return sources
}

function pageName(file: string): string {
  return file === 'README.md' ? '' : file.slice(0, -'.md'.length)
}

/** The name under which a path of the project is served; null where it is not. */
function nameOf(path: string, sources: ReadonlyMap<string, Source>): string | null {
  if (Object.hasOwn(extras, path)) return path
  if (path === 'docs') return ''
  if (!path.startsWith('docs/')) return null
  const name = path.slice('docs/'.length)
  if (!sources.has(name)) return null
  return name.endsWith('.md') ? pageName(name) : name
}
