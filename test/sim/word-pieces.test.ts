/**
 * The tokenizer of the embedding model, against a vocabulary small enough to read.
 */
import { expect, it } from 'vitest'
import { WordPieces } from '../../src/sim/word-pieces.ts'

const pieces = new WordPieces(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'herd', '##s', 'of', 'cafe', '!', 'no'].join('\n'))

it('takes the longest piece first and frames the text', () => {
  expect(pieces.encode('Herds of herd', 16)).toEqual([2, 4, 5, 6, 4, 3])
})

it('takes off case and accents and keeps punctuation apart', () => {
  expect(pieces.encode('CAFÉ!', 16)).toEqual([2, 7, 8, 3])
})

it('marks a word it cannot cut and stops at the limit', () => {
  expect(pieces.encode('nox no', 16)).toEqual([2, 1, 9, 3])
  expect(pieces.encode('no no no no', 4)).toEqual([2, 9, 9, 3])
})
