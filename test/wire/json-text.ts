/**
 * JSON texts as clients may write them: any white space, escaped keys, integers beyond 2^53, unusual separators. Values are
 * made as text, so that nothing a parser would normalise is lost before the code under test sees it.
 */
import * as fc from 'fast-check'

export const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r\n  ')

const rawString = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.constantFrom(
    '"}',
    '\\',
    '\\"',
    '{"model":"evil"}',
    '\u2028',
    '\u2029',
    '\u0085',
    ']',
    ',"model":"evil"',
    '\ud83d\ude00',
    '漢字',
    '\u0000',
  ),
)

/** A string literal, now and then with every character escaped. */
const stringText = fc.tuple(rawString, fc.boolean()).map(([text, escaped]) => (escaped ? escapeAll(text) : JSON.stringify(text)))

/** `text` as a literal of `\uXXXX` only. */
export function escapeAll(text: string): string {
  return `"${Array.from({ length: text.length }, (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, '0')}`).join('')}"`
}

const numberText = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.constantFrom('9007199254740993', '-9007199254740993', '18446744073709551615', '1e3', '1E+2', '0.10', '-0', '1.0'),
)

const leaf = fc.oneof(stringText, numberText, fc.constantFrom('true', 'false', 'null'))

/** Any JSON value as text. */
export const { value: valueText } = fc.letrec<{ value: string; list: string; object: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, depthSize: 'small' }, leaf, tie('list'), tie('object')),
  list: fc.tuple(fc.array(tie('value'), { maxLength: 3 }), space).map(([items, gap]) => `[${gap}${items.join(`${gap},`)}${gap}]`),
  object: fc
    .tuple(fc.uniqueArray(fc.tuple(stringText, tie('value')), { maxLength: 3, selector: ([key]) => JSON.parse(key) as unknown }), space)
    .map(([entries, gap]) => `{${gap}${entries.map(([key, item]) => `${key}${gap}:${item}`).join(`,${gap}`)}}`),
}))

interface ObjectText {
  readonly text: string
  /** Key as decoded, and its value as text, in order. */
  readonly entries: readonly (readonly [string, string])[]
}

const knownKeys = [
  'model',
  'name',
  'stream',
  'messages',
  'prompt',
  'options',
  'keep_alive',
  'input',
  'system',
  'shift',
  'max_tokens',
  '1',
  '0',
  '__proto__',
]
const keyName = fc.oneof(fc.constantFrom(...knownKeys), fc.string({ unit: 'grapheme', minLength: 0, maxLength: 5 }))

/** Keys that Go takes for one are one key here. */
const foldedKey = ([key]: readonly [string, ...unknown[]]): string => key.toLowerCase().replaceAll('\u017f', 's')

/** An object of any keys, each once, in any order and spacing. */
export const objectText: fc.Arbitrary<ObjectText> = fc
  .tuple(fc.uniqueArray(fc.tuple(keyName, valueText, fc.boolean()), { maxLength: 7, selector: foldedKey }), space, space)
  .map(([entries, outer, inner]) => ({
    text: `${outer}{${inner}${entries.map(([key, item, escaped]) => `${escaped ? escapeAll(key) : JSON.stringify(key)}${inner}:${inner}${item}`).join(`${inner},${inner}`)}${inner}}${outer}`,
    entries: entries.map(([key, item]) => [key, item] as const),
  }))
