// Renders every key of the configuration: its type from the schema, its default and meaning from config/default.yaml, and its variable.
// A key without a comment of its own has the one of the key above it, as a reader of that file takes it.

import { z } from 'zod'
import { envNameOf } from '../src/config/env-source.ts'
import { leafPaths, shapeAt } from '../src/config/key-tree.ts'
import { type Path, pathText } from '../src/config/path.ts'
import { configSchema, needsRestart } from '../src/config/schema.ts'
import { cell } from './written-part.ts'

interface Described {
  /** As it stands in the file; null where it is commented out: there is no default. */
  readonly value: string | null
  readonly comment: readonly string[]
}

/** A table per section. Throws when a key does not stand in `manual`. */
export function renderConfigReference(manual: string): string {
  const described = readManual(manual)
  const sections = Map.groupBy(leafPaths(), (path) => String(path[0]))
  return [...sections]
    .map(([section, paths]) => {
      const intro = prose(described.get(section)?.comment ?? [])
      const rows = paths.map((path) => rowOf(path, described))
      const table = ['| Key | Type | Default | Variable | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
      return [`## ${section}`, ...(intro === '' || paths.length === 1 ? [] : [intro]), table].join('\n\n')
    })
    .join('\n\n')
}

function rowOf(path: Path, described: ReadonlyMap<string, Described>): string {
  const key = pathText(path)
  const own = described.get(key)
  if (own === undefined) throw new Error(`config/default.yaml does not explain ${key}`)
  const meaning = prose(own.comment).replaceAll(/ ?\(restart\)\.?/gi, '')
  const restart = needsRestart(key) ? ' *Needs a restart.*' : ''
  const value = own.value === null ? 'none' : `\`${own.value}\``
  return `| \`${key}\` | ${typeOf(path)} | ${cell(value)} | \`${envNameOf(path)}\` | ${cell(meaning)}${restart} |`
}

/** Each key of the file by its path, sections too, and keys that are commented out. */
function readManual(manual: string): Map<string, Described> {
  const known = new Set(leafPaths().map((path) => pathText(path)))
  const found = new Map<string, Described>()
  let above: string[] = []
  let comment: string[] = []
  let path: string[] = []
  for (const line of manual.split('\n')) {
    const [, indent = '', mark = '', rest = ''] = /^( *)(# ?)?(.*)$/.exec(line) ?? []
    const depth = indent.length / 2
    const [, name = '', value = ''] = /^([A-Za-z]\w*):(?: (.*))?$/.exec(rest) ?? []
    const key = [...path.slice(0, depth), name].join('.')
    const isKey = name !== '' && (mark === '' || known.has(key))
    if (line === '') [comment, above] = [[], []]
    else if (isKey) {
      // A section hands its words to the keys that follow it without any.
      above = comment.length > 0 ? comment : above
      found.set(key, { value: mark === '' ? value : null, comment: above })
      path = [...path.slice(0, depth), name]
      comment = []
    } else if (mark !== '') comment.push(rest)
    else if (rest.startsWith('- ') && path.length > 0) noteItem(found, path.join('.'), rest)
  }
  return found
}

/** The first item of a list that stands below its key. */
function noteItem(found: Map<string, Described>, key: string, item: string): void {
  const list = found.get(key)
  if (list?.value === '') found.set(key, { ...list, value: item })
}

/** Comment lines as one paragraph; lines that explain a word in a column become its list. */
function prose(lines: readonly string[]): string {
  return lines
    .map((line) =>
      line.replace(/^ *([A-Za-z][\w, ]*?)(?:: )? {2,}(.+)$/, (_all, word: string, rest: string) => `· \`${word}\`: ${rest}`).trim(),
    )
    .join(' ')
    .replaceAll(/  +/g, ' ')
}

/** What may be written there. */
function typeOf(path: Path): string {
  const name = String(path.at(-1))
  const shape = shapeAt(path)
  if (shape?.kind === 'list') return 'list'
  if (shape?.kind === 'record') return 'map'
  if (shape?.kind === 'quantity') return name.includes('Bytes') || name.startsWith('bytes') ? 'size' : 'duration'
  const { enum: values = [], type } = jsonSchemaAt(path)
  if (values.length > 0) return values.map((value) => `\`${String(value)}\``).join(', ')
  return type === 'string' ? 'text' : String(type ?? 'text')
}

const schema = z.toJSONSchema(configSchema, { io: 'input' })

function jsonSchemaAt(path: Path): z.core.JSONSchema.BaseSchema {
  return path.reduce<z.core.JSONSchema.BaseSchema>((node, step) => {
    const child = node.properties?.[String(step)]
    return typeof child === 'object' ? child : {}
  }, schema)
}
