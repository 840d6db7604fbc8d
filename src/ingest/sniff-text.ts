/** Which text format a text is: by its own marks where it has any, else by what its name says among the formats that fit. */
import { detectDelimiter } from './parse/csv.ts'

export type TextFormat = 'text' | 'markdown' | 'html' | 'xml' | 'csv' | 'json' | 'jsonl' | 'email' | 'code'

export interface TextHints {
  readonly name: string
  readonly declaredType: string | null
}

interface FoundFormat {
  readonly format: TextFormat
  /** Of code; else empty. */
  readonly language: string
}

const headChars = 4_096
const sampleChars = 200_000
const linesTried = 20
const formats: Readonly<Record<string, TextFormat>> = {
  md: 'markdown',
  markdown: 'markdown',
  mdx: 'markdown',
  txt: 'text',
  log: 'text',
  htm: 'html',
  html: 'html',
  xhtml: 'html',
  xml: 'xml',
  svg: 'xml',
  csv: 'csv',
  tsv: 'csv',
  json: 'json',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  eml: 'email',
}
const declared: Readonly<Record<string, TextFormat>> = {
  'text/markdown': 'markdown',
  'text/html': 'html',
  'text/csv': 'csv',
  'text/tab-separated-values': 'csv',
  'application/json': 'json',
  'application/x-ndjson': 'jsonl',
  'message/rfc822': 'email',
}
const languages: Readonly<Record<string, string>> = {
  bash: 'shell',
  c: 'c',
  cc: 'cpp',
  cjs: 'javascript',
  cpp: 'cpp',
  cs: 'csharp',
  css: 'css',
  dart: 'dart',
  dockerfile: 'dockerfile',
  ex: 'elixir',
  exs: 'elixir',
  go: 'go',
  h: 'c',
  hpp: 'cpp',
  hs: 'haskell',
  ini: 'ini',
  java: 'java',
  jl: 'julia',
  js: 'javascript',
  jsx: 'javascript',
  kt: 'kotlin',
  lua: 'lua',
  makefile: 'makefile',
  mjs: 'javascript',
  php: 'php',
  pl: 'perl',
  proto: 'protobuf',
  ps1: 'powershell',
  py: 'python',
  r: 'r',
  rb: 'ruby',
  rs: 'rust',
  scala: 'scala',
  scss: 'css',
  sh: 'shell',
  sql: 'sql',
  swift: 'swift',
  tf: 'terraform',
  toml: 'toml',
  ts: 'typescript',
  tsx: 'typescript',
  vue: 'vue',
  yaml: 'yaml',
  yml: 'yaml',
  zig: 'zig',
}
const interpreters: Readonly<Record<string, string>> = {
  bash: 'shell',
  sh: 'shell',
  zsh: 'shell',
  node: 'javascript',
  python: 'python',
  perl: 'perl',
  ruby: 'ruby',
}
const mailHeaders = /^(?:from|to|subject|date|message-id|received|mime-version|return-path|delivered-to|content-type):/i

export function textFormat(text: string, hints: TextHints): FoundFormat {
  const extension = extensionOf(hints.name)
  const type = (hints.declaredType ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  const named = formats[extension] ?? declared[type] ?? null
  const certain = markedFormat(text, named)
  if (certain !== null) return { format: certain, language: '' }
  const language = languages[extension] ?? shebangLanguage(text)
  if (language !== undefined && named === null) return { format: 'code', language }
  return { format: likelyFormat(text, named), language: '' }
}

function extensionOf(name: string): string {
  const base = name.toLowerCase().split(/[/\\]/).at(-1) ?? ''
  return base.includes('.') ? (base.split('.').at(-1) ?? '') : base
}

/** Formats that say what they are. */
function markedFormat(text: string, named: TextFormat | null): TextFormat | null {
  const head = text.slice(0, headChars).replace(/^[\ufeff\s]+/, '')
  const opening = head.replace(/^(?:<!--[\s\S]*?-->\s*|<\?xml[^>]*\?>\s*)*/, '')
  if (/^<(?:!doctype\s+html|html[\s>]|head[\s>]|body[\s>])/i.test(opening)) return 'html'
  if (named === 'html' && /<[a-z][a-z0-9]*[\s>/]/i.test(head)) return 'html'
  if (/^<\?xml\s/.test(head) || isXml(opening, named)) return 'xml'
  if (isMail(head)) return 'email'
  return jsonFormat(text, named)
}

/** By its first element. Markdown may begin with a drawing too, so of a text named so only the XML declaration tells. */
function isXml(opening: string, named: TextFormat | null): boolean {
  if (named === 'xml') return /^<(?:!doctype\s|[a-z_][\w.:-]*[\s>/])/i.test(opening)
  return named !== 'markdown' && /^<(?:(?:svg|rss|feed)[\s>/]|!doctype\s)/i.test(opening)
}

function isMail(head: string): boolean {
  const lines = head.split(/\r?\n/).slice(0, linesTried * 2)
  const end = lines.findIndex((line) => line.trim() === '')
  const headers = end === -1 ? lines : lines.slice(0, end)
  if (!headers.every((line) => /^(?:[!-9;-~]+:|[ \t]|>?From )/.test(line))) return false
  return new Set(headers.map((line) => mailHeaders.exec(line)?.[0].toLowerCase()).filter((name) => name !== undefined)).size >= 3
}

function jsonFormat(text: string, named: TextFormat | null): TextFormat | null {
  const first = /^[\ufeff\s]*(.)/.exec(text)?.[1]
  if (first !== '{' && first !== '[') return named === 'jsonl' ? 'jsonl' : null
  if (named === 'jsonl') return 'jsonl'
  if (isJson(text)) return 'json'
  const lines = text.split('\n', linesTried + 1).filter((line) => line.trim() !== '')
  const whole = text.length > sampleChars || lines.length > linesTried ? lines.slice(0, -1) : lines
  if (whole.length >= 2 && whole.every(isJson)) return 'jsonl'
  return named === 'json' ? 'json' : null
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function shebangLanguage(text: string): string | undefined {
  const [, command = '', argument = ''] = /^#!\s*(\S+)[^\S\n]*(\S*)/.exec(text.slice(0, 200)) ?? []
  const program = command.endsWith('/env') ? argument : (command.split('/').at(-1) ?? '')
  return interpreters[program.replace(/[\d.]+$/, '')]
}

/** Without a mark of its own: the named format when the text fits it, else Markdown, CSV or plain text by what is there. */
function likelyFormat(text: string, named: TextFormat | null): TextFormat {
  if (named === 'markdown' || named === 'text') return named
  const table = detectDelimiter(text.slice(0, sampleChars))
  if (named === 'csv') return table === null && !/\n/.test(text.trim()) ? 'text' : 'csv'
  if (markdownMarks(text.slice(0, sampleChars)) >= 2) return 'markdown'
  const lines = text
    .slice(0, headChars)
    .split('\n')
    .filter((line) => line.trim() !== '').length
  return table !== null && table.columns >= 3 && table.evenness >= 0.95 && lines >= 3 && !readsAsProse(text.slice(0, headChars))
    ? 'csv'
    : 'text'
}

/** Commas with a space after them and lines that end as sentences do. */
function readsAsProse(text: string): boolean {
  const commas = text.match(/,/g)?.length ?? 0
  const spaced = text.match(/, /g)?.length ?? 0
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const sentences = lines.filter((line) => /[.!?]["”)]?\s*$/.test(line)).length
  return commas > 0 && spaced > commas * 0.8 && sentences * 2 > lines.length
}

function markdownMarks(text: string): number {
  const marks = [
    /^#{1,6} \S/m,
    /^```/m,
    /\[[^\][\n]{1,300}\]\([^)\s]{1,2000}\)/,
    /^\|.*\|\n\|[\s:|-]+\|$/m,
    /^[-*] \S.*\n[-*] \S/m,
    /\*\*[^*\n]{1,300}\*\*/,
    /^> \S/m,
  ]
  return marks.filter((mark) => mark.test(text)).length
}
