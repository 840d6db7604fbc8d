/** Queries whose right documents are known, from a file of one JSON object a line: `{"query": "days off", "documents": ["leave.md"]}`. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

import { queryCharactersMax } from '../search/search.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { reasonOf } from './gateway.ts'
import { printable } from './output.ts'

export interface JudgedLine {
  /** `FILE:LINE`. */
  readonly place: string
  readonly query: string
  /** Ids. */
  readonly documents: readonly string[]
}

const queriesMax = 10_000
/** Bad lines that are told. */
const toldMax = 10

const example = '{"query": "days off", "documents": ["leave.md"]}'
const judgedLine = z.object({
  query: z.string().trim().min(1).max(queryCharactersMax),
  documents: z.array(z.string().min(1).max(512)).min(1).max(1_000),
})

/** All lines of `file`. Exit code 2 with the place of each line that cannot be used, and what to do. */
export async function readJudged(file: string): Promise<readonly JudgedLine[]> {
  const name = printable(file)
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CliError(exitCodes.usage, `--judged: cannot read ${name}: ${printable(reasonOf(error))}`)
  })
  const lines: JudgedLine[] = []
  const refused: string[] = []
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (line.trim() === '') continue
    const place = `${name}:${index + 1}`
    const verdict = verdictOf(line)
    if (typeof verdict === 'string') refused.push(`${place}: ${verdict}`)
    else lines.push({ place, ...verdict })
  }
  if (refused.length > 0) throw refusal(name, refused)
  if (lines.length === 0) throw new CliError(exitCodes.usage, `${name} holds no query: write one a line, like ${example}`)
  if (lines.length > queriesMax) {
    throw new CliError(exitCodes.usage, `${name} holds ${lines.length} queries, at most ${queriesMax} are taken: keep a part of them`)
  }
  return lines
}

/** The error that tells of lines, the first of them by their places. */
export function refusal(name: string, refused: readonly string[]): CliError {
  const others = refused.length - toldMax
  const told = [...refused.slice(0, toldMax), ...(others > 0 ? [`and ${others} more`] : [])]
  return new CliError(exitCodes.usage, `${name}: ${refused.length === 1 ? '1 line' : `${refused.length} lines`} cannot be used`, told)
}

/** What the line says, or what is wrong with it. */
function verdictOf(line: string): z.infer<typeof judgedLine> | string {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return `no JSON: write one object a line, like ${example}`
  }
  const parsed = judgedLine.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = printable(issue?.path.join('.') ?? '')
  return `${field === '' ? '' : `${field}: `}${issue?.message ?? 'cannot be read'}: write it like ${example}`
}
