// One renamer serves all frames of an answer, and changes the name alone.
import { expect, test } from 'vitest'

import { createRenamer } from '../../src/wire/model-in-answer.ts'

const rename = createRenamer({ key: 'model', from: 'qwen3:8b', to: 'my "own"' })
const renamed = (text: string): string => rename(Buffer.from(text)).toString()

test('the first name of each line is put as the other one, frame after frame', () => {
  const line = '{"model":"qwen3:8b","message":{"content":"\\"model\\":\\"qwen3:8b\\""}}\n'
  const expected = '{"model":"my \\"own\\"","message":{"content":"\\"model\\":\\"qwen3:8b\\""}}\n'
  expect(renamed(line + line)).toBe(expected + expected)
  expect(renamed(line)).toBe(expected)
  expect(renamed('{"model":"qwen3:8b","of":{"model":"qwen3:8b"}}')).toBe('{"model":"my \\"own\\"","of":{"model":"qwen3:8b"}}')
})

test('frames without the name are the same bytes, not copied', () => {
  const frames = Buffer.from('data: {"model":"qwen3:8b-q4"}\n\ndata: [DONE]\n\n')
  expect(rename(frames)).toBe(frames)
})
