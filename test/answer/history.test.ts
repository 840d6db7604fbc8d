// What is kept of the answers that a client sends back as the conversation.
import { expect, test } from 'vitest'

import { readQuestion } from '../../src/answer/dialect-request.ts'
import { requestOf } from '../cache/ask.ts'

function historyOf(said: string): readonly { readonly content: string }[] {
  const messages = [
    { role: 'user', content: 'How large?' },
    { role: 'assistant', content: said },
    { role: 'user', content: 'And then?' },
  ]
  return readQuestion(requestOf('/api/chat', { model: 'handbook', messages })).history
}

test('markers and the list of sources of an earlier answer are left out, code is not', () => {
  const said = 'Uploads have 32 MB [1], retries are `list[0]` [2, 3].\n\nSources:\n[1] Limits\n[2] Retries\n'
  expect(historyOf(said).at(-1)?.content).toBe('Uploads have 32 MB, retries are `list[0]`.')
})

test('an earlier answer of eighty thousand markers is read at once', () => {
  expect(historyOf('ab cd [1] '.repeat(80_000)).at(-1)?.content).toHaveLength(6 * 80_000 - 1)
})
