/**
 * Makes the set of exact terms: `node bench/harness/retrieval-exact-terms.ts PATH` writes test/data/exact-terms from the documents of
 * `PATH/retrieval/anthropic-docs` (MIT) and a fixed seed; the bench holds the files to it. A query names an identifier, error code, version or flag that stands in one
 * passage only; decoys are passages that repeat its next of kin. Half of the terms are the documents' own, half are planted.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { tokenise } from '../../src/search/tokenise.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { readLines } from './retrieval-sets.ts'

const passageWords = 45
const ownTerms = 40
const plantedTerms = 60

interface Passage {
  readonly id: string
  text: string
}

interface Term {
  readonly kind: string
  readonly term: string
  readonly decoys: readonly string[]
}

type Random = () => number

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

const verbs = ['get', 'set', 'load', 'parse', 'fetch', 'flush', 'merge', 'bind', 'open', 'drop']
const nouns = ['user', 'session', 'token', 'index', 'buffer', 'socket', 'policy', 'ledger', 'worker', 'digest']
const extras = ['ById', 'List', 'Count', 'Async', 'Name', 'All']
const upper = (word: string): string => word.slice(0, 1).toUpperCase() + word.slice(1)

/** Makers of a term and of what is easily taken for it, by kind. */
const makers: Readonly<Record<string, (random: Random) => readonly string[]>> = {
  camel: (random) => {
    const base = pick(random, verbs) + upper(pick(random, nouns)) + upper(pick(random, nouns))
    return [base, base + pick(random, extras), `${base}s`]
  },
  snake: (random) => {
    const base = `${pick(random, nouns)}_${pick(random, verbs)}_${pick(random, nouns)}`
    return [base, `${base}_${pick(random, nouns)}`, `${base}s`]
  },
  code: (random) => {
    const base = `ERR_${pick(random, nouns).toUpperCase()}_${pick(random, verbs).toUpperCase()}`
    return [base, `${base}_${pick(random, nouns).toUpperCase()}`, `${base}ED`]
  },
  numbered: (random) => {
    const prefix = pick(random, ['ORA', 'TS', 'E', 'KB', 'CVE'])
    const number = Math.floor(10_000 + random() * 80_000)
    return [`${prefix}-${number}`, `${prefix}-${number + 1}`, `${prefix}-${number}0`]
  },
  hexadecimal: (random) => {
    const number = Math.floor(random() * 0xfff_ffff)
    const text = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
    return [text(number), text(number + 1), `${text(number)}0`]
  },
  version: (random) => {
    const base = `${Math.floor(random() * 9)}.${Math.floor(random() * 30)}.${Math.floor(1 + random() * 9)}`
    return [`v${base}`, `v${base}0`, `${base}1`]
  },
  flag: (random) => {
    const base = `--${pick(random, verbs)}-${pick(random, nouns)}-${pick(random, nouns)}`
    return [base, `${base}-${pick(random, nouns)}`, `${base}s`]
  },
}

function passagesOf(documents: readonly { id: string; text: string }[]): Passage[] {
  const passages: Passage[] = []
  for (const { id, text } of documents) {
    const words = text.split(/\s+/u).filter((word) => word !== '')
    for (let at = 0; at + passageWords <= words.length; at += passageWords) {
      passages.push({ id: `${id}@${at}`, text: words.slice(at, at + passageWords).join(' ') })
    }
  }
  return passages
}

function wholesOf(text: string): string[] {
  return tokenise(text, 'en')
    .filter(({ role }) => role === 'whole')
    .map(({ start, end }) => text.slice(start, end))
}

/** Identifiers that stand in one of `passages` only, in its order. */
function ownOf(passages: readonly Passage[]): { term: string; passage: Passage }[] {
  const places = new Map<string, Set<Passage>>()
  const spelled = new Map<string, string>()
  for (const passage of passages) {
    for (const term of wholesOf(passage.text)) {
      const name = term.toLowerCase()
      spelled.set(name, term)
      places.set(name, (places.get(name) ?? new Set()).add(passage))
    }
  }
  const found: { term: string; passage: Passage }[] = []
  for (const [name, holders] of places) {
    const term = spelled.get(name) ?? name
    const [passage] = holders
    if (
      holders.size === 1 &&
      passage !== undefined &&
      /[_\d]|\p{Ll}\p{Lu}/u.test(term) &&
      /^[\p{L}]/u.test(term) &&
      term.length >= 6 &&
      term.length <= 40
    ) {
      found.push({ term, passage })
    }
  }
  return found
}

/** Puts `term` between the words of a passage, `times` times. */
function plant(random: Random, text: string, { term, times }: { term: string; times: number }): string {
  const words = text.split(' ')
  for (let time = 0; time < times; time += 1) words.splice(Math.floor(random() * words.length), 0, term)
  return words.join(' ')
}

const phrases = ['$', 'how do I fix $', 'what does $ do', '$ documentation', 'where is $ used']

export const exactTermsFolder = join(import.meta.dirname, '../../test/data/exact-terms')

/** Contents of the files by name. */
export async function exactTermFiles(dataPath: string): Promise<Readonly<Record<string, string>>> {
  const random = randomSequence(20_261_125)
  const all = passagesOf(await readLines(join(dataPath, 'retrieval/anthropic-docs/corpus.jsonl'))).toSorted(() => random() - 0.5)
  const corpus = all.slice(0, 300)
  const own = ownOf(corpus)
  const queries: { id: string; text: string; term: string; kind: string; answer: string }[] = []
  const ask = ({ kind, term }: Pick<Term, 'kind' | 'term'>, answer: string): void => {
    const number = queries.length
    queries.push({ id: `q${number}`, text: (number % 2 === 0 ? '$' : pick(random, phrases)).replace('$', term), term, kind, answer })
  }
  for (const { term, passage } of own.slice(0, ownTerms)) {
    ask({ kind: 'own', term }, passage.id)
    decoy(random, corpus, { term: `${term}s`, not: passage })
    decoy(random, corpus, { term: `${term}_v2`, not: passage })
  }
  const kinds = Object.keys(makers)
  const used = new Set<string>()
  for (let number = 0; number < plantedTerms; number += 1) {
    const kind = kinds[number % kinds.length] ?? 'camel'
    const [term = '', ...decoys] = fresh(random, kind, used)
    const passage = pick(random, corpus)
    passage.text = plant(random, passage.text, { term, times: 1 })
    ask({ kind, term }, passage.id)
    for (const one of decoys) decoy(random, corpus, { term: one, not: passage })
  }
  const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
  return { 'corpus.jsonl': lines(corpus), 'queries.jsonl': lines(queries) }
}

/** A term and its decoys that nothing else is called by. */
function fresh(random: Random, kind: string, used: Set<string>): readonly string[] {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const made = makers[kind]?.(random) ?? []
    if (made.some((term) => used.has(term))) continue
    for (const term of made) used.add(term)
    return made
  }
  throw new Error(`no new ${kind} in 100 attempts`)
}

function decoy(random: Random, corpus: readonly Passage[], { term, not }: { term: string; not: Passage }): void {
  const passage = pick(random, corpus)
  if (passage !== not) passage.text = plant(random, passage.text, { term, times: 3 })
}

async function main([dataPath]: readonly string[]): Promise<void> {
  if (dataPath === undefined) throw new Error('PATH')
  for (const [name, content] of Object.entries(await exactTermFiles(dataPath))) await writeFile(join(exactTermsFolder, name), content)
}

if (import.meta.main) await main(process.argv.slice(2))
