/**
 * Text in an assistant's prompt that is likely to be another one each time: the time, today's date, UUIDs, ids, counters. The prompt is part of every
 * key of the cache, and stands at the front of what the model is given: when it changes, no kept answer is found any more and a node reads all of it anew.
 *
 * A prompt alone tells only what looks like it, so a date that no word calls today's is none. Two prompts that follow one another tell more: when
 * they differ in nothing but such text, a program writes it. Only rules, for English and the main words of five other languages.
 *
 * Every repetition has an end: prompts come from tenants, a list of assistants looks through all of theirs, and what has none takes
 * the square of a prompt's length.
 */

interface VolatileText {
  readonly what: string
  /** Place in the prompt. */
  readonly start: number
  readonly text: string
}

/** More is not said of one prompt. */
const warningsMax = 5

const months = [
  'jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|apr(?:il)?|may|mai|june?|juni|july?|juli|aug(?:ust)?|sep(?:t|tember)?',
  'o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?',
].join('|')
const weekday = '(?:mon|tues|wednes|thurs|fri|satur|sun)day'
const weekdays = `(?:${weekday}|mon|tue|wed|thu|fri|sat|sun)`
const date = [
  String.raw`\d{4}[-/.]\d{1,2}[-/.]\d{1,2}`,
  String.raw`\d{1,2}[-/.]\d{1,2}[-/.]\d{4}`,
  String.raw`\d{1,2}(?:st|nd|rd|th|\.)?\s(?:${months})\.?,?\s\d{4}`,
  String.raw`(?:${months})\.?\s\d{1,2}(?:st|nd|rd|th)?,?\s\d{4}`,
  String.raw`\d{4}年\d{1,2}月\d{1,2}日`,
].join('|')
const time = String.raw`\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:\s?[ap]m)?`
const zone = String.raw`(?:\s?(?:z|utc|gmt|[+-]\d{2}:?\d{2}))?`
/** As `Date` and `date` of a shell write it, too: "Fri Nov 28 2026 09:15:00", "Fri Nov 28 09:15:00 UTC 2026". */
const timestamp = [
  String.raw`(?:${date})(?:t|,?\s|,?\sat\s)${time}${zone}`,
  String.raw`${weekdays}\s(?:${months})\s{1,2}\d{1,2}\s${time}(?:\s[a-z]{3,5})?\s\d{4}`,
].join('|')
const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
/** Seconds and milliseconds since 1970, of the years 2020 to 2033. */
const unixTime = String.raw`1[6-9]\d{8}(?:\d{3})?`
/** Letters and digits in one word of eight and more, as ids are written. */
const identifier = String.raw`(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{8,64}`

const begins = String.raw`(?<![\p{L}\p{N}_+-])`
const ends = String.raw`(?![\p{L}\p{N}_-])`

const today = [
  String.raw`(?:today(?:'s\sdate)?(?:\sis)?|it(?:\sis|'s))(?:\snow)?`,
  String.raw`(?:the\s)?(?:current\s|date\sand\s|local\s){0,3}(?:date|time|day)(?:\snow)?(?:\sis)?|now|as\sof`,
  'heute(?:\\sist)?|aktuelle[rs]?\\s(?:datum|zeit|uhrzeit)|jetzt|nous\\ssommes\\sle|aujourd.hui|date\\sdu\\sjour',
  'hoy(?:\\ses)?|fecha\\sactual|hora\\sactual|сегодня|сейчас|текущ\\p{L}{2}\\s(?:дата|время)|今天是?|现在是?|当前(?:日期|时间)是?',
].join('|')
const day = String.raw`(?:(?:on\s)?${weekdays},?\s)?(?:the\s)?(?:${date})|${weekday}|(?:${months})\s\d{1,2}`
const counted = '(?:request|message|session|conversation|trace|run|call|turn|visit|visitor|attempt|question|query|ticket|user)'

const signs: readonly (readonly [what: string, pattern: RegExp])[] = [
  ['a date with a time', pattern(`${begins}(?:${timestamp})${ends}`)],
  ['the date of a day', pattern(String.raw`(?<!\p{L})(?:${today})\s{0,3}[:=：]?\s{0,3}(?:${day})(?!\p{L})`)],
  ['the time of a day', pattern(String.raw`(?<!\p{L})(?:${today})\s{0,3}[:=：]?\s{0,3}${time}${ends}`)],
  ['a UUID', pattern(`${begins}${uuid}${ends}`)],
  ['a Unix time', pattern(String.raw`${begins}(?<!\+\d{1,3}\s)${unixTime}${ends}`)],
  ['an id', pattern(String.raw`(?<!\p{L})${counted}[\s_-]?id\s{0,3}[:=#]?\s{0,3}[\w-]{0,64}\d[\w-]{0,64}`)],
  ['a counter', pattern(String.raw`(?<!\p{L})${counted}\s?(?:#|no\.?|nr\.?|number|count|counter)\s{0,3}[:=#]?\s{0,3}\d+${ends}`)],
]

/** All that may differ between two prompts that a program made of one template; a plain number only where it counts up. */
const varying = pattern(`${begins}(?:${timestamp}|${date}|${time}|${uuid}|${identifier}|${weekdays}|\\d+)${ends}`)
const plainNumber = /^\d{1,15}$/

function pattern(source: string): RegExp {
  return new RegExp(source, 'giu')
}

/**
 * What to tell who wrote `prompt`: places that look volatile, and that it differs from `before`, the prompt it replaces, in nothing else. Empty: nothing.
 * No text of the prompt is in it, so that it may be logged.
 */
export function volatileWarnings(prompt: string, before: string | null = null): string[] {
  const change = before === null ? null : changeOf(before, prompt)
  const places = volatileTexts(prompt).map(
    ({ what, start, text }) => `prompt: at characters ${start} to ${start + text.length} stands what looks like ${what}; ${cost}`,
  )
  return [...(change === null ? [] : [change]), ...places].slice(0, warningsMax)
}

const cost =
  'where it changes from time to time, every change makes all kept answers unreachable: leave it out, or put it into the questions that need it'

/** In the order of the text; one that lies within another is told once. */
function volatileTexts(prompt: string): VolatileText[] {
  const found: VolatileText[] = []
  for (const [what, sign] of signs) {
    for (const { 0: text, index: start } of prompt.matchAll(sign)) {
      const overlaps = found.some((other) => start < other.start + other.text.length && other.start < start + text.length)
      if (!overlaps) found.push({ what, start, text })
    }
  }
  return found.toSorted((a, b) => a.start - b.start)
}

/** The warning when two prompts are one template with other values; null when they are the same, or differ in more. */
function changeOf(before: string, now: string): string | null {
  if (before === now || before.replace(varying, '\u0000') !== now.replace(varying, '\u0000')) return null
  const values = [...now.matchAll(varying)]
  const earlier = [...before.matchAll(varying)]
  const changed = values.flatMap((value, index) => {
    const old = earlier[index]?.[0] ?? ''
    return old === value[0] ? [] : [{ old, value: value[0], start: value.index }]
  })
  const [first] = changed
  if (first === undefined || !changed.every(({ old, value }) => variesByItself(old, value))) return null
  return `prompt: it differs from the one before in nothing but a date, a time, an id or a counter (at character ${first.start}); ${changeCost}`
}

const changeCost = 'each such change makes all kept answers unreachable, and the model reads the prompt anew: leave it out of the prompt'

function variesByItself(old: string, value: string): boolean {
  return !plainNumber.test(value) || !plainNumber.test(old) || Number(value) === Number(old) + 1 || isUnixTime(value)
}

function isUnixTime(value: string): boolean {
  return new RegExp(`^${unixTime}$`).test(value)
}
