// Reads the project's own source for the two tests that watch over it (architecture and tidy): files, their imports, and oxlint's findings.
// Paths are relative to the project root with forward slashes. Findings come from oxlint, so that a string or a comment is never taken for code.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, posix } from 'node:path'

export const root = join(import.meta.dirname, '..')

/** One import, export-from or dynamic import of a file. `target` is a project path for a relative specifier, else the bare specifier. */
export interface ImportEdge {
  file: string
  specifier: string
  target: string
  relative: boolean
}

/** One finding of oxlint: `rule` is the bare rule name, `line` counts from 1. */
export interface Finding {
  rule: string
  file: string
  line: number
  message: string
}

/** All files below `folder` whose name ends with `suffix`, sorted; a missing folder has none. */
export function listFiles(folder: string, suffix: string): string[] {
  const absolute = join(root, folder)
  if (!existsSync(absolute)) return []
  return readdirSync(absolute, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => posix.join(entry.parentPath.slice(root.length + 1), entry.name))
    .toSorted()
}

/** Text of one project file. */
export function readSource(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

const STATIC_IMPORT = /^\s*(?:import|export)\s(?:[^'"]*?\sfrom\s*)?(?:'([^']+)'|"([^"]+)")|^\s*import\s*'([^']+)'/gm
const DYNAMIC_IMPORT = /\bimport\(\s*'([^']+)'/g

/** Every import of one file, type imports included, static and dynamic. */
export function readImports(file: string): ImportEdge[] {
  const text = readSource(file)
  const specifiers = [...text.matchAll(STATIC_IMPORT), ...text.matchAll(DYNAMIC_IMPORT)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? '',
  )
  return specifiers.map((specifier) => {
    const relative = specifier.startsWith('.')
    return { file, specifier, relative, target: relative ? posix.join(posix.dirname(file), specifier) : specifier }
  })
}

interface Diagnostic {
  code: string
  filename: string
  message: string
  labels: { span: { line: number } }[]
}

/** Runs oxlint with the given rule file over `folders` and returns its findings; ignores folders that do not exist. */
export function lintWith(configFile: string, folders: string[]): Finding[] {
  const present = folders.filter((folder) => existsSync(join(root, folder)))
  const oxlint = join(root, 'node_modules/oxlint/bin/oxlint')
  const report = runToEnd(process.execPath, [oxlint, '--config', join(root, configFile), '--format', 'json', ...present])
  const { diagnostics }: { diagnostics: Diagnostic[] } = JSON.parse(report)
  return diagnostics.map(({ code, filename, message, labels }) => ({
    rule: code.replace(/^.*\((.*)\)$/, '$1'),
    file: filename.replaceAll('\\', '/'),
    line: labels[0]?.span.line ?? 0,
    message,
  }))
}

/** Standard output of a command that ends non-zero when it has something to report. */
function runToEnd(command: string, commandArguments: string[]): string {
  try {
    return execFileSync(command, commandArguments, {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  } catch (failure) {
    if (failure instanceof Error && 'stdout' in failure && typeof failure.stdout === 'string' && failure.stdout !== '')
      return failure.stdout
    throw failure
  }
}
