/**
 * JSON and JSON Lines. One item of the outermost array or object, or one line, becomes one block whose text is a line per value:
 * `address.city: Rome`. So a value is found by its path, and a citation shows it without braces. Numbers stand as they are written: an id of
 * twenty digits, or a price with its last zero, is another one as a 64-bit float.
 */
import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { cleanLine } from './clean-text.ts'
import { DocumentBuilder } from './document-builder.ts'

const depthMax = 100
const brokenLinesNamed = 5

/** `text` is cleaned already. Throws `document_broken` with the reason of the JSON parser. */
export function parseJson(text: string, limits: ParseLimits): ParsedDocument {
  assertDepth(text)
  const builder = new DocumentBuilder(limits)
  const value = readJson(text)
  if (Array.isArray(value)) for (const item of value) addItem(builder, '', item)
  else if (isObject(value)) for (const [key, item] of Object.entries(value)) addMember(builder, key, item)
  else addItem(builder, '', value)
  return builder.finish('application/json', { title: isObject(value) && typeof value.title === 'string' ? value.title : null })
}

/** One value a line; a line that is none is skipped with a warning. */
export function parseJsonLines(text: string, limits: ParseLimits): ParsedDocument {
  const builder = new DocumentBuilder(limits)
  let broken = 0
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '') return
    try {
      assertDepth(line)
      addItem(builder, '', JSON.parse(line, asWritten))
    } catch (error) {
      if (error instanceof CorralError && error.code === 'document_too_large') throw error
      broken += 1
      if (broken <= brokenLinesNamed) builder.warnings.add(`line ${index + 1} is not JSON: skipped`)
    }
  })
  if (broken > brokenLinesNamed) builder.warnings.add(`${broken} lines are not JSON: skipped`)
  return builder.finish('application/x-ndjson')
}

/** A member of the outermost object; the items of a list in it stand on their own. */
function addMember(builder: DocumentBuilder, key: string, value: unknown): void {
  if (Array.isArray(value) && value.some(isObject)) for (const item of value) addItem(builder, key, item)
  else addItem(builder, key, value)
}

function addItem(builder: DocumentBuilder, path: string, value: unknown): void {
  const lines: string[] = []
  addValue(lines, path, value)
  builder.add('paragraph', lines.join('\n'))
}

function addValue(lines: string[], path: string, value: unknown): void {
  if (Array.isArray(value)) {
    if (value.some((item) => typeof item === 'object' && item !== null))
      for (const [index, item] of value.entries()) addValue(lines, `${path}[${index}]`, item)
    else if (value.length > 0) lines.push(lineOf(path, value.map(valueText).join(', ')))
    return
  }
  if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) addValue(lines, path === '' ? key : `${path}.${key}`, item)
    return
  }
  lines.push(lineOf(path, valueText(value)))
}

function lineOf(path: string, value: string): string {
  return path === '' ? value : `${cleanLine(path)}: ${value}`
}

function valueText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A reviver that gives a number as the text that stands for it. */
function asWritten(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' ? context?.source : value
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text, asWritten)
  } catch (error) {
    throw new CorralError('document_broken', 'the JSON cannot be read to its end: check it with a JSON tool', { cause: error })
  }
}

/** Throws before the parser, and the walk over its result, would run out of stack. */
function assertDepth(text: string): void {
  let depth = 0
  let inText = false
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (inText) {
      if (unit === 0x5c) index += 1
      else if (unit === 0x22) inText = false
    } else if (unit === 0x22) inText = true
    else if (unit === 0x5b || unit === 0x7b) depth += 1
    else if (unit === 0x5d || unit === 0x7d) depth -= 1
    if (depth > depthMax) throw new CorralError('document_broken', `the JSON is nested more than ${depthMax} levels deep`)
  }
}
