// Usage as a table for other programs.
import { expect, test } from 'vitest'

import { writeCsv } from '../../src/limits/usage-csv.ts'

test('is a line of names and a line per row, each ended by CRLF', () => {
  expect(
    writeCsv(
      ['a', 'b', 'c'],
      [
        { a: 1, b: true, c: 'x' },
        { a: null, c: 0.5 },
      ],
    ),
  ).toBe('a,b,c\r\n1,true,x\r\n,,0.5\r\n')
  expect(writeCsv(['a'], [])).toBe('a\r\n')
})

test('quotes what would break a line apart', () => {
  expect(writeCsv(['a', 'b'], [{ a: 'x,"y"', b: 'l1\nl2\r' }])).toBe('a,b\r\n"x,""y""","l1\nl2\r"\r\n')
})

test.each(['=HYPERLINK("http://x")', '+1', '-1', '@SUM(A1)', '\t=1'])('a text %j is no formula for a spreadsheet', (text) => {
  const [, cell = ''] = writeCsv(['a'], [{ a: text }]).split('\r\n')
  expect(cell.replace(/^"/, '')).toMatch(/^'/)
  expect(writeCsv(['a'], [{ a: -1 }])).toContain('\r\n-1\r\n')
})
