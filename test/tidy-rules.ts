// The rules behind tidy.test.ts and the script that shrinks its baseline. Sizes and shapes are measured by oxlint (test/tidy-oxlintrc.json):
// files ≤ 400 lines, functions ≤ 60, nesting ≤ 3, at most 3 positional parameters, no `any`, no `!`, no `as` outside the listed parsers.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lintWith, listFiles, readSource, root } from './source-tree.ts'

export const BASELINE_FILE = 'test/tidy-baseline.json'
const MEASURED = ['src', 'bench', 'scripts', 'test']
/** Of a test only this much is asked: a suite is one long function, and fakes need assertions. */
const TEST_RULES = new Set(['max-lines', 'max-depth', 'no-explicit-any'])
const WATCHED = ['src', 'bench', 'config']
const OWNERLESS = /(^|\/)(utils?|helpers?|common|misc|types)(\.[cm]?tsx?$|\/)/
// The words are put together here so that this file does not match itself, should it ever be watched.
const PROMISES = new RegExp(
  String.raw`\b(${['TODO', 'FIXME', 'XXX', 'HACK', 'not implemented', 'for now', 'placeholder', 'stub'].join('|')})\b`,
  'i',
)
const MACHINE_PATHS = new RegExp(['work', 'root'].map((folder) => `/${folder}/`).join('|'))

/** Exceptions of one rule in one file: how many, and on which lines. */
export interface Exceptions {
  count: number
  lines: number[]
}

/** Counts the exceptions of the measured folders, keyed `file rule`. */
export function countExceptions(): Record<string, Exceptions> {
  const counted: Record<string, Exceptions> = {}
  for (const { file, rule, line } of lintWith('test/tidy-oxlintrc.json', MEASURED)) {
    if (file.startsWith('test/') && !TEST_RULES.has(rule)) continue
    const place = (counted[`${file} ${rule}`] ??= { count: 0, lines: [] })
    place.count += 1
    place.lines.push(line)
  }
  return counted
}

/** The exceptions allowed so far, keyed `file rule`. */
export function readBaseline(): Record<string, number> {
  return JSON.parse(readFileSync(join(root, BASELINE_FILE), 'utf8'))
}

/** Source modules whose first line (after a `#!` line) is not a comment. */
export function missingOpenings(): string[] {
  return ['src', 'bench', 'scripts']
    .flatMap((folder) => listFiles(folder, '.ts'))
    .filter((file) => {
      const lines = readSource(file).split('\n')
      const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0]
      return !/^(\/\/|\/\*)/.test(first ?? '')
    })
}

/** Tracked files named after no one thing. */
export function forbiddenNames(): string[] {
  return trackedFiles().filter((file) => OWNERLESS.test(file) && !file.startsWith('test/data/'))
}

/** Places in code and configuration that promise later work, as `file:line`. */
export function promises(): string[] {
  return linesMatching(
    trackedFiles().filter((file) => WATCHED.some((folder) => file.startsWith(`${folder}/`))),
    PROMISES,
  )
}

/** Places that name a path of one machine, as `file:line`. */
export function machinePaths(): string[] {
  return linesMatching(
    trackedFiles().filter((file) => !file.startsWith('test/data/')),
    MACHINE_PATHS,
  )
}

function trackedFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  return listed.split('\n').filter((file) => file !== '' && file !== 'package-lock.json' && existsSync(join(root, file)))
}

function linesMatching(files: string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    readSource(file)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1} ${line.trim().slice(0, 100)}`] : [])),
  )
}
