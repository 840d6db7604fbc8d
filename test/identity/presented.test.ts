// Which credential a request carries, whatever its header lines look like (B24).
import { expect, test } from 'vitest'

import { readPresented } from '../../src/identity/presented.ts'

const token = (text: string) => ({ kind: 'token', text })

test.each<[string, readonly string[], string | null, object]>([
  ['nothing', ['Host', 'x'], null, { kind: 'none' }],
  ['a bearer token', ['Authorization', 'Bearer abc'], null, token('abc')],
  ['a bearer token in other letters', ['AUTHORIZATION', 'bEARER abc'], null, token('abc')],
  ['x-api-key', ['X-Api-Key', 'abc'], null, token('abc')],
  ['api-key', ['api-key', 'abc'], null, token('abc')],
  ['a key in the path', [], 'abc', token('abc')],
  ['the same thing three times', ['authorization', 'Bearer abc', 'x-api-key', 'abc', 'api-key', 'abc'], 'abc', token('abc')],
  ['two authorizations', ['authorization', 'Bearer abc', 'Authorization', 'Bearer abc'], null, { kind: 'ambiguous' }],
  ['two that differ', ['authorization', 'Bearer abc', 'x-api-key', 'abd'], null, { kind: 'ambiguous' }],
  ['a path and a header that differ', ['api-key', 'x'], 'y', { kind: 'ambiguous' }],
  ['two x-api-keys that differ', ['x-api-key', 'x', 'x-api-key', 'y'], null, { kind: 'ambiguous' }],
  ['a bad one beside a good one', ['authorization', 'Basic eDp5', 'x-api-key', 'y'], null, { kind: 'ambiguous' }],
  ['an empty authorization', ['authorization', ''], null, { kind: 'malformed' }],
  ['Bearer alone', ['authorization', 'Bearer'], null, { kind: 'malformed' }],
  ['Bearer and a space', ['authorization', 'Bearer '], null, { kind: 'malformed' }],
  ['Basic', ['authorization', 'Basic eDp5'], null, { kind: 'malformed' }],
  ['a tab for a space', ['authorization', 'Bearer\tabc'], null, { kind: 'malformed' }],
  ['two spaces', ['authorization', 'Bearer  abc'], null, { kind: 'malformed' }],
  ['two words', ['authorization', 'Bearer abc def'], null, { kind: 'malformed' }],
  ['a token without a scheme', ['authorization', 'abc'], null, { kind: 'malformed' }],
  ['letters beyond ASCII', ['x-api-key', 'äbc'], null, { kind: 'malformed' }],
  ['an empty key in the path', [], '', { kind: 'malformed' }],
])('%s', (_, headers, pathKey, expected) => {
  expect(readPresented(headers, pathKey)).toEqual(expected)
})
