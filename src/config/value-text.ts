/**
 * How a text from the environment or a flag becomes a value: by the shape of its key, never by guessing. What does not
 * read as its shape stays a text, so that the schema refuses it with the place it came from.
 */
import type { Assignment, Origin } from './assignment.ts'
import type { KeyShape } from './key-tree.ts'
import type { Path } from './path.ts'

const booleans: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['0', false],
  ['no', false],
  ['off', false],
])

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** `http://a,http://b` as a list; an item of a list of sections is its `url`. */
function listFromText(item: KeyShape, text: string): unknown[] {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  return parts.map((part) => (item.kind === 'section' ? { url: part } : valueFromText(item, part)))
}

/** The value of `text` for a key of this shape. */
export function valueFromText(shape: KeyShape, text: string): unknown {
  const trimmed = text.trim()
  switch (shape.kind) {
    case 'text':
      return text
    case 'quantity':
      return trimmed
    case 'boolean':
      return booleans.get(trimmed.toLowerCase()) ?? text
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : text
    case 'list':
      return trimmed.startsWith('[') ? parseJson(trimmed) : listFromText(shape.item, trimmed)
    case 'section':
    case 'record':
      return parseJson(trimmed)
  }
}

/** One assignment per list, map and scalar within `value`, all with the same origin. */
export function flatten(path: Path, value: unknown, origin: Origin): Assignment[] {
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value
    return [{ path, value: [], origin }, ...items.flatMap((item, index) => flatten([...path, index], item, origin))]
  }
  if (typeof value === 'object' && value !== null) {
    return [{ path, value: {}, origin }, ...Object.entries(value).flatMap(([key, child]) => flatten([...path, key], child, origin))]
  }
  return [{ path, value, origin }]
}
