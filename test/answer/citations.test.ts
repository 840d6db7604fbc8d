import { expect, test } from 'vitest'

import { CitedStream } from '../../src/answer/cited-stream.ts'
import { guardText, LinkGuard } from '../../src/answer/link-guard.ts'
import { MarkerReader, type Piece } from '../../src/answer/markers.ts'
import { Passage } from '../../src/answer/passage.ts'
import { hitOf } from './setup.ts'

const limits =
  'Uploads may be up to 32 MB. Larger files are refused with error 413.\nRetries happen after “five” seconds, at most three times.'
const prices = 'The standard plan costs $1,200 a year since March 3, 2024. Support answers within 4 hours on working days.'
const start = 1_000

function passages(): Passage[] {
  return [
    new Passage(1, hitOf({ id: 'limits', text: limits, start })),
    new Passage(2, hitOf({ id: 'prices', text: prices, uri: 'https://example.org/prices' })),
  ]
}

/** Everything that came of `raw`, in pieces of `size` characters. */
function cite(raw: string, size = raw.length) {
  const stream = new CitedStream(passages(), null)
  const parts = []
  for (let at = 0; at < raw.length; at += size) parts.push(...stream.push(raw.slice(at, at + size)))
  parts.push(...stream.end())
  const text = parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')
  return { text, stream, citations: stream.citations, unsupported: stream.unsupported() }
}

function read(text: string, size = text.length): Piece[] {
  const reader = new MarkerReader(8)
  const pieces: Piece[] = []
  for (let at = 0; at < text.length; at += size) pieces.push(...reader.push(text.slice(at, at + size)))
  return [...pieces, ...reader.end()]
}

test.each([
  ['[1: "the cat sat"]', [{ number: 1, quote: 'the cat sat' }]],
  ['[2: “typographic quotes”]', [{ number: 2, quote: 'typographic quotes' }]],
  ['[Source 2: "foo [bar] baz"]', [{ number: 2, quote: 'foo [bar] baz' }]],
  ['[2: "the "inner" word"]', [{ number: 2, quote: 'the "inner" word' }]],
  [
    '[1: "a b c", 2: "d e f"]',
    [
      { number: 1, quote: 'a b c' },
      { number: 2, quote: 'd e f' },
    ],
  ],
  ['[2: no quotes at all]', [{ number: 2, quote: 'no quotes at all' }]],
  ['[2 "no colon"]', [{ number: 2, quote: 'no colon' }]],
  [
    '[1, 3]',
    [
      { number: 1, quote: null },
      { number: 3, quote: null },
    ],
  ],
  ['【4】', [{ number: 4, quote: null }]],
  ['[^5]', [{ number: 5, quote: null }]],
])('reads the marker %s, whole and in single characters', (marker, references) => {
  for (const size of [marker.length + 4, 1]) {
    expect(read(`A ${marker} b`, size).filter((piece) => piece.kind === 'marker')).toEqual([{ kind: 'marker', references }])
  }
})

test.each(['items[1] = a[0][2]', '[link](x)', '[note] and [2024] and [ ]', 'f(x)[3]'])('leaves %s as text', (text) => {
  for (const size of [text.length, 1]) {
    const pieces = read(text, size)
    expect(pieces.every((piece) => piece.kind === 'text')).toBe(true)
    expect(pieces.map((piece) => (piece.kind === 'text' ? piece.text : '')).join('')).toBe(text)
  }
})

const code = [
  '{"delays": [1, 2, 5], "ports": [80, 443], "deep": [[1, 2], [1]], "pattern": "[0-9]"}',
  '[1, 2, 5]',
  '[2]',
  '[{"a": [1]}, {"b": [2]}]',
  '["a", [1, 2]]',
  '```json\n{"delays": [1, 2]}\n```\nAnd:\n~~~\nx = [1: "Uploads may be up to 32 MB"]\n~~~',
  '- a list\n  ```py\n  for i in ([1, 2]) {\n    print [1]\n  ```',
  'It gives `[5]`, ``a ` [1]`` and `x [2] y`.',
  'x = [0] * 10, y = [1, 2], f([1, 2]), [0-9], [0-9]+, a [-1, -2] b, c [1.5, 2] d, e [9] * 2',
  'Allowed: [80, 443]. The delays ([3, 7]), and then, [40].',
  'Use {"delays": [1, 2]} for it, or {"n": "[2]"}.',
  'It ends x = [1',
]

test.each(code)('code, JSON and brackets that cannot be citations are left as they are: %s', (raw) => {
  for (let size = 1; size <= raw.length; size += 1) expect(cite(raw, size)).toMatchObject({ text: raw, citations: [] })
})

test.each(code.filter((raw) => !raw.startsWith('It ends')))('citations before and behind code are found: %s', (raw) => {
  const first = 'Files may have 32 MB [1: "Uploads may be up to 32 MB"].\n\n'
  const last = '\n\nSupport answers within 4 hours [2] [9]. It is fast [7].'
  for (const size of [1, 3, 1_000]) {
    const { text, citations } = cite(first + raw + last, size)
    expect(citations.map(({ number }) => number)).toEqual([1, 2])
    const isAnswer = /^\[(?:1, 2, 5|2)\]$/.test(raw)
    if (!isAnswer) expect(text).toBe(`Files may have 32 MB [1].\n\n${raw}\n\nSupport answers within 4 hours [2]. It is fast.`)
  }
})

test('a short quote with a decimal is still a citation, and one in round brackets of a script without spaces', () => {
  const cited = (text: string, raw: string) => {
    const stream = new CitedStream([new Passage(1, hitOf({ id: 'a', text }))], null)
    stream.push(raw)
    stream.end()
    return stream.citations.length
  }
  expect(cited('The price rose by 2.4% in May', 'The price rose in May [1: "2.4%"].')).toBe(1)
  expect(cited('东京是日本的首都', '东京是日本的首都([1])。')).toBe(1)
})

test('a citation in a text of JSON is found, with its quotation marks escaped; numbers alone are none there', () => {
  const raw =
    '{"answer": "Files may have 32 MB [1: \\"Uploads may be up to 32 MB\\"].", "sizes": [1, 2], "more": "use [1, 2] or [9]", "ref": "It is [2]."}'
  for (const size of [1, 7, 1_000]) {
    const { text, citations } = cite(raw, size)
    expect(JSON.parse(text)).toEqual({ answer: 'Files may have 32 MB [1].', sizes: [1, 2], more: 'use [1, 2] or [9]', ref: 'It is [2].' })
    expect(citations.map(({ quote }) => quote)).toEqual(['Uploads may be up to 32 MB'])
  }
})

test.each([
  ['a backtick that no other ends', 'Don`t send more: files may have 32 MB [1: "Uploads may be up to 32 MB"].'],
  ['a bracket that no other ends', '[32 MB and {files may have 32 MB [1: "Uploads may be up to 32 MB"].'],
  ['a colon', 'Files may have 32 MB: [1: "Uploads may be up to 32 MB"]'],
  ['a parenthesis', 'Uploads may be up to 32 MB ([1]).'],
])('a citation behind %s is found', (_, raw) => {
  for (const size of [1, 1_000])
    expect(cite(raw, size).citations.map(({ quote }) => quote)).toEqual([expect.stringContaining('up to 32 MB')])
})

test('a marker that never ends shows nothing and is counted as malformed', () => {
  const { text, stream } = cite('Files are limited [1: "Uploads may be')
  expect(text).toBe('Files are limited')
  expect(stream.gate.dropped.malformed).toBe(1)
})

test('cites the exact place in the document, and the answer keeps the bare number', () => {
  const { text, citations } = cite('Files may have 32 MB [1: "uploads may be up to 32  mb"].')
  expect(text).toBe('Files may have 32 MB [1].')
  const [citation] = citations
  expect(citation).toMatchObject({
    number: 1,
    document: 'limits',
    chunk: 'limits#0',
    start,
    end: start + 26,
    quote: 'Uploads may be up to 32 MB',
    origin: 'quoted',
  })
  expect(text.slice(citation?.marker.start, citation?.marker.end)).toBe('[1]')
  expect(text.slice(citation?.answer.start, citation?.answer.end)).toBe('Files may have 32 MB')
})

test('gives the same in pieces of every size', () => {
  const raw =
    'Files may have 32 MB [1: "Uploads may be up to 32 MB"]. The plan costs 1200 [2: "costs $1,200 a year"][1]. See ![x](http://e.org/y) or [9: "nothing of the kind"].\n'
  const whole = cite(raw)
  for (let size = 1; size < 40; size += 1) {
    const piecewise = cite(raw, size)
    expect(piecewise.text).toBe(whole.text)
    expect(piecewise.citations).toEqual(whole.citations)
    expect(piecewise.stream.gate).toEqual(whole.stream.gate)
  }
})

test('a quote of another passage is corrected to where it stands', () => {
  const { text, citations, stream } = cite('Support takes 4 hours [1: "Support answers within 4 hours"].')
  expect(text).toBe('Support takes 4 hours [2].')
  expect(citations[0]).toMatchObject({ number: 2, document: 'prices', origin: 'corrected' })
  expect(stream.gate.corrected).toBe(1)
})

test.each([
  ['a number altered in the quote', 'It may have 64 MB [1: "Uploads may be up to 64 MB"].', 'altered_number'],
  ['a number altered in the sentence', 'It may have 64 MB [1: "Uploads may be up to 32 MB"].', 'altered_number'],
  ['a number that stands elsewhere in the passage', 'It may have 413 MB [1: "Uploads may be up to 32 MB"].', 'altered_number'],
  ['a month altered in the quote', 'It has cost that since May [2: "a year since May 3, 2024"].', 'altered_number'],
  ['a version that only begins like one of the passage', 'Error 4135 [1: "refused with error 413"].', 'altered_number'],
  ['an invented quote', 'It is fast [1: "the fastest upload in the world"].', 'invented'],
  ['an invented quote of no passage', 'It is fast [7: "the fastest upload in the world"].', 'out_of_range'],
  ['a bare number out of range', 'It is fast [7].', 'out_of_range'],
  ['a bare number behind a claim that the passage does not make', 'Penguins live in Antarctica [1].', 'unsupported'],
  ['a quote that ends in the middle of a word', 'Large files fail [1: "Larger files are refu"].', 'invented'],
] as const)('drops %s without a trace', (_, raw, reason) => {
  const { text, citations, stream } = cite(raw)
  expect(citations).toEqual([])
  expect(text).toBe(raw.replace(/ \[[^\]]*\]/, ''))
  expect(stream.gate.dropped[reason]).toBe(1)
})

test('a quote with an omission points at its longest part', () => {
  const { citations } = cite('Large ones fail [1: "Uploads may be up … Larger files are refused with error"].')
  expect(citations[0]?.quote).toBe('Larger files are refused with error')
})

test('a bare number gets the sentence that says the claim', () => {
  const { citations } = cite('Larger files are refused with error 413 [1].')
  expect(citations[0]).toMatchObject({ origin: 'derived', quote: 'Larger files are refused with error 413.' })
})

/** What comes of a claim with a quote, whose passage is that one sentence. */
function judgeOne(claim: string, quote: string, text = `It is said here that ${quote}, as far as anybody knows.`) {
  const stream = new CitedStream([new Passage(1, hitOf({ id: 'one', text }))], null)
  stream.push(`${claim} [1: "${quote}"].`)
  stream.end()
  return { cited: stream.citations.length, altered: stream.gate.dropped.altered_number }
}

test.each([
  ['The entry costs six euros', 'the entry costs 5 euros'],
  ['The entry costs six euros', 'the entry costs 5 €'],
  ['The entry costs six', 'the entry costs 5'],
  ['The entry costs 5 dollars', 'the entry costs 5 euros'],
  ['It costs $10 million', 'it costs $10 billion'],
  ['It costs $10', 'it costs $10 billion'],
  ['The disk has 20 GB', 'the disk has 20 MB'],
  ['The disk has 20GB', 'the disk has 20 megabytes'],
  ['It is -5 degrees at night', 'it is 5 degrees at night'],
  ['It is 5 degrees at night', 'it is minus 5 degrees at night'],
  ['It is 5 degrees at night', 'it is −5 degrees at night'],
  ['The fee is 5%', 'the fee is 5 euros'],
  ['The fee is 5 per cent', 'the fee is €5 for all'],
  ['Der Eintritt kostet sechs Euro', 'der Eintritt kostet fünf Euro'],
  ["L'entrée coûte six euros", "l'entrée coûte cinq euros"],
  ['La entrada cuesta seis euros', 'la entrada cuesta cinco euros'],
  ['Вход стоит шесть рублей', 'вход стоит пять рублей'],
  ['Es kostet 5 Millionen Euro', 'es kostet 5 Mrd. Euro'],
  ['利润为10亿元', '公司的年度利润为10万元人民币'],
  ['It takes twenty-five minutes', 'it takes 35 minutes'],
])('a number is altered by another word, unit, power or sign: %s / %s', (claim, quote) => {
  expect(judgeOne(claim, quote)).toEqual({ cited: 0, altered: 1 })
})

test('a passage of nothing but powers of ten, or of numbers in words, is judged as any other', () => {
  for (const filler of ['亿'.repeat(8_000), 'five '.repeat(4_000)])
    expect(judgeOne('The entry costs 5 euros', 'the entry costs 5 euros', `${filler}. The entry costs 5 euros.`)).toMatchObject({
      cited: 1,
    })
})

test.each([
  ['The entry costs five euros', 'the entry costs 5 euros'],
  ['The entry costs 5 €', 'the entry costs five euros'],
  ['The entry costs €5', 'the entry costs 5 euros'],
  ['It costs 10 million dollars', 'it costs $10 million'],
  ['It costs $10bn', 'it costs 10 billion dollars'],
  ['Revenue was $5 million in May', 'revenue was $5m in May'],
  ['Revenue was $5B in May', 'revenue was 5 billion dollars in May'],
  ['The disk has 20 gigabytes', 'the disk has 20GB'],
  ['The disk has 20', 'the disk has 20 GB'],
  ['It is −5 °C at night', 'it is minus 5 degrees at night'],
  ['It takes 5-10 minutes', 'it takes 5–10 minutes'],
  ['It takes 25 minutes', 'it takes twenty-five minutes'],
  ['The fee is 5 percent', 'the fee is 5%'],
  ['Die Gebühr ist 5 Prozent', 'the fee is 5 per cent'],
  ['There are two ways, one of 5 steps', 'one way has 5 steps, the other has none'],
  ['利润为10亿元', '公司的年度利润为10亿元人民币'],
])('a number stays itself in another spelling: %s / %s', (claim, quote) => {
  expect(judgeOne(claim, quote)).toEqual({ cited: 1, altered: 0 })
})

test('a quote that leaves out the sign or ends before the power of its number is judged with it', () => {
  const text = 'It is -5 degrees at night. The project costs about $10 billion in all.'
  expect(judgeOne('It is 5 degrees at night', '5 degrees at night', text)).toEqual({ cited: 0, altered: 1 })
  expect(judgeOne('It is -5 degrees at night', '-5 degrees at night', text)).toEqual({ cited: 1, altered: 0 })
  expect(judgeOne('The project costs $10', 'the project costs about $10', text)).toEqual({ cited: 0, altered: 1 })
})

test('numbers are equal in every usual spelling', () => {
  expect(cite('It costs 1200 dollars [2: "plan costs $1,200 a year"].').citations).toHaveLength(1)
  expect(cite('It waits 5 seconds [1: "after "five" seconds"].').citations).toHaveLength(1)
  expect(cite('Valid since 2024-03-03 [2: "a year since March 3, 2024"].').citations).toHaveLength(1)
  expect(cite('1. Files of 32 MB [1: "Uploads may be up to 32 MB"].').citations).toHaveLength(1)
})

test('a number may stand in any of the passages cited together', () => {
  expect(cite('Up to 32 MB for $1,200 [1: "Uploads may be up to 32 MB"][2: "standard plan costs $1,200"].').citations).toHaveLength(2)
})

test('sentences that nothing stands behind are flagged with their place', () => {
  const { text, unsupported } = cite('Files may have 32 MB [1: "Uploads may be up to 32 MB"]. The moon consists of 77 cheeses. Yes.')
  expect(unsupported).toHaveLength(1)
  expect(text.slice(unsupported[0]?.start, unsupported[0]?.end)).toBe('The moon consists of 77 cheeses.')
  expect(unsupported[0]?.unknownNumbers).toEqual(['77'])
})

test('a marker behind the full stop belongs to the sentence before it', () => {
  const { text, citations, unsupported } = cite(
    'Files may have 32 MB. [1: "Uploads may be up to 32 MB"] Support takes 4 hours. [2: "Support answers within 4 hours"]',
  )
  expect(citations.map(({ answer }) => text.slice(answer.start, answer.end))).toEqual(['Files may have 32 MB.', 'Support takes 4 hours.'])
  expect(unsupported).toEqual([])
})

test('offsets count characters outside the basic plane as the client does', () => {
  const { text, citations } = cite('🎉🎉 Files may have 32 MB [1: "Uploads may be up to 32 MB"].', 1)
  expect(text.slice(citations[0]?.marker.start, citations[0]?.marker.end)).toBe('[1]')
})

test.each([
  ['![x](http://evil.org/?q=secret)', '! [x] (http ://evil.org/?q=secret)'],
  ['[click](https://evil.org)', '[click] (https ://evil.org)'],
  ['![a][ref]\n\n[ref]: //evil.org/a', '! [a] [ref]\n\n[ref] : / /evil.org/a'],
  ['<img src=//evil.org/a>', '< img src=/ /evil.org/a>'],
  ['<img/src=//evil.org/a>', '< img/src=/ /evil.org/a>'],
  ['<a href="x">y</a>', '< a href="x">y</a>'],
  ['<script>x</script>', '< script>x< /script>'],
  ['<https://evil.org>', '< https ://evil.org>'],
  ['www.evil.org/?q=1', 'www .evil.org/?q=1'],
  ['see //evil.org/a', 'see / /evil.org/a'],
  ['javascript:alert(1)', 'javascript :alert(1)'],
  ['`![x](http://evil.org)', '`! [x] (http ://evil.org)'],
])('breaks %s', (raw, broken) => {
  expect(guardText(raw)).toBe(broken)
  const guard = new LinkGuard(() => false)
  const piecewise = Array.from(raw, (character) => guard.push(character)).join('') + guard.flush()
  expect(piecewise).not.toMatch(/\]\(|!\[|<img|<a |<script|[a-z]:\/\/|www\.|javascript:|\]\[|\]:/)
})

test('keeps an address that stands in a passage, and prose and generics as they are', () => {
  expect(guardText('See https://example.org/a.', (url) => url === 'https://example.org/a')).toBe('See https://example.org/a.')
  const plain = 'a < b, Vec<T>, std::vector<int>, C:\\dir, the data: here; if (x) y[0](z)'
  expect(guardText(plain)).toBe(plain.replace('](', '] ('))
})

test('a citation in front of a parenthesis is no link', () => {
  expect(cite('Files may have 32 MB [1: "Uploads may be up to 32 MB"](http://evil.org).').text).toBe(
    'Files may have 32 MB [1] (http ://evil.org).',
  )
})

test('text made to be slow to read is read in bounded time', () => {
  const startedMs = performance.now()
  for (const unit of ['[1: "', '[1]', '`[1] ', '{"a": [1', '[1], ', '<aaaa', '![', 'https://', '[passage ', '\u200d', 'a.']) {
    const { stream } = cite(unit.repeat(Math.ceil(200_000 / unit.length)))
    expect(stream.gate.written).toBeLessThanOrEqual(200_000)
  }
  expect(performance.now() - startedMs).toBeLessThan(15_000)
})
