/**
 * A simulated model that is given numbered passages reads them: it answers with the sentences that share most words with the question, each with
 * a quote and the passage's number, as a model does that follows such instructions. So grounded answers of the demo and of tests say something.
 */

const passagePattern = /<<([0-9a-f]{8,64}) passage (\d+)>> [^\n]*\n([\s\S]*?)(?=\s*<<\1 (?:passage \d+|end)>>)/g
/** As the prompts of chats and of generations end. */
const lastTurnPattern = /<u(?:ser)?>((?:(?!<u(?:ser)?>)[\s\S])*)<\/u?><a>$/
/** Sentences of an answer. */
const sentencesMax = 2
const quoteWords = 12
const wordPattern = /[\p{L}\p{N}]+/gu
/** Words that questions are made of rather than about. */
const idle = new Set('a an and are do does how in is it of on or the to was what when where which who why with'.split(' '))

interface Sentence {
  readonly text: string
  readonly passage: string
  readonly score: number
}

/** Words, with the marks around them, of an answer from the passages in `prompt`; null when it holds none. */
export function answerFromPassages(prompt: string): string[] | null {
  const passages = [...prompt.matchAll(passagePattern)]
  if (passages.length === 0) return null
  const asked = wordsOf(lastTurnPattern.exec(prompt)?.[1] ?? '').filter((word) => !idle.has(word))
  const sentences = passages.flatMap(([, , passage = '', text = '']) => sentencesOf(text).map((each) => scored(each, passage, asked)))
  const best = sentences
    .toSorted((a, b) => b.score - a.score)
    .slice(0, sentencesMax)
    .filter(({ score }, place) => place === 0 || score > 0)
  const said = best.map(({ text, passage }) => `${text.replace(/[.!?]+$/, '')} [${passage}: "${quoteOf(text)}"].`).join(' ')
  return said.match(/\s*\S+/g) ?? []
}

function sentencesOf(text: string): string[] {
  return text
    .split(/(?<=[.!?])\s+|\n+/)
    .map((sentence) => sentence.replace(/^[#>*\-\s]+/, '').trim())
    .filter((sentence) => wordsOf(sentence).length >= 3)
}

function scored(text: string, passage: string, asked: readonly string[]): Sentence {
  const words = new Set(wordsOf(text))
  const shared = asked.filter((word) => words.has(word)).length
  return { text, passage, score: shared - words.size / 1_000 }
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(wordPattern) ?? []
}

/** The begin of a sentence, without the marks that would end the quote. */
function quoteOf(text: string): string {
  const words = text.split(/\s+/).slice(0, quoteWords).join(' ')
  return words.replace(/["\]].*$/, '').replace(/[\s.,;:!?]+$/, '')
}
