// A simulated model with numbered passages before it answers from them, with quotes that stand there; without it talks as before.
import { expect, test } from 'vitest'

import { answerFromPassages } from '../../src/sim/reading.ts'

const fence = '0123456789abcdef'
const prompt = (question: string): string =>
  `<system>Cite as [2: "words"].</><user>Passages\n\n<<${fence} passage 1>> Copper\nWires are made of copper.\n\n<<${fence} passage 2>> Tin › Weight\n# Tin\nThe weight of tin is 118 units. It "melts" early.\n\n<<${fence} end>></><assistant>Read.</><user>${question}</><a>`

test('answers with the sentence that the question is about, quoted and numbered', () => {
  const answer = answerFromPassages(prompt('What is the weight of tin?'))?.join('')
  expect(answer).toContain('The weight of tin is 118 units [2: "The weight of tin is 118 units"].')
  expect(answerFromPassages(prompt('What are wires made of?'))?.join('')).toMatch(/^Wires are made of copper \[1: /)
})

test('a prompt without passages is answered as any other', () => {
  expect(answerFromPassages('<user>What is the weight of tin?</><a>')).toBeNull()
})
