// What in an assistant's prompt is told to be another one each time, and what is not.

import { expect, test } from 'vitest'

import { volatileWarnings } from '../../src/answer/volatile-text.ts'

test.each([
  ['a date with a time', 'Be kind. 2026-11-28T09:15:00.123Z is when this was written.', '2026-11-28T09:15:00.123Z'],
  ['a date with a time', 'Fri Nov 28 2026 09:15:00 GMT+0000', 'Nov 28 2026 09:15:00 GMT'],
  ['a date with a time', 'Started Fri Nov 28 09:15:00 UTC 2026.', 'Fri Nov 28 09:15:00 UTC 2026'],
  ['a date with a time', 'Written 28 November 2026, 09:15', '28 November 2026, 09:15'],
  ['the date of a day', 'Be kind. Today is Friday, 28 November 2026. Be short.', 'Today is Friday, 28 November 2026'],
  ['the date of a day', "today's date: 11/28/2026", "today's date: 11/28/2026"],
  ['the date of a day', 'Current date: 2026-11-28', 'Current date: 2026-11-28'],
  ['the date of a day', 'Today is Friday.', 'Today is Friday'],
  ['the date of a day', 'Heute ist 28. November 2026', 'Heute ist 28. November 2026'],
  ['the date of a day', 'Сегодня 28.11.2026', 'Сегодня 28.11.2026'],
  ['the date of a day', '今天是2026年11月28日。', '今天是2026年11月28日'],
  ['the time of a day', 'The current time is 9:15 am', 'The current time is 9:15 am'],
  ['a UUID', 'Tenant 6F9619FF-8B86-D011-B42D-00CF4FC964FF asks.', '6F9619FF-8B86-D011-B42D-00CF4FC964FF'],
  ['a Unix time', 'ts=1795857300', '1795857300'],
  ['a Unix time', 'ts=1795857300123', '1795857300123'],
  ['an id', 'Request id: req_81f', 'Request id: req_81f'],
  ['a counter', 'This is message number 17 of the day.', 'message number 17'],
])('%s is found in: %s', (what, prompt, text) => {
  const start = prompt.indexOf(text)
  expect(volatileWarnings(prompt)).toEqual([
    expect.stringContaining(`at characters ${start} to ${start + text.length} stands what looks like ${what};`),
  ])
})

test.each([
  '',
  'Answer in one sentence.',
  'The rules of 2024-01-01 hold for contracts signed before 1 March 2025.',
  'Offices are open from 9:00 to 17:30, Monday to Friday.',
  'Never tell the time. Today you answer in rhymes. As of now be brief.',
  'You may need 30 days; call +49 1795857300 for help.',
  'It sat there, now mon ami, and it is 14 days old.',
  'Cite RFC 9110, ISO 8601 and section 4.2.',
  'Ask for the message number if the user has one. Say which user id is meant.',
  'Version 1.2.3 of the model llama3.2:3b-instruct-q4_K_M',
])('a prompt that stays as it is gives no warning: %s', (prompt) => {
  expect(volatileWarnings(prompt)).toEqual([])
})

test.each([
  ['a date', 'Rules of 2026-11-27.', 'Rules of 2026-11-28.', 9],
  ['a weekday', 'It is a fine Friday.', 'It is a fine Saturday.', 13],
  ['a time', 'Written at 09:15', 'Written at 09:16', 11],
  ['a word of letters and digits', 'For nonce a81bc81bde.', 'For nonce 77f0acd1e2.', 10],
  ['a number that counts up', 'You have answered 41 times in 7 days.', 'You have answered 42 times in 7 days.', 18],
])('%s that alone changed since the prompt before is told with its place', (_, before, prompt, start) => {
  expect(volatileWarnings(prompt, before)).toEqual([
    expect.stringContaining(`differs from the one before in nothing but a date, a time, an id or a counter (at character ${start})`),
  ])
  expect(volatileWarnings(prompt, null)).toEqual([])
})

test.each([
  ['nothing', 'Rules of 2026-11-27.', 'Rules of 2026-11-27.'],
  ['a word', 'Be kind.', 'Be short.'],
  ['a number that somebody set anew', 'Vacation is 14 days.', 'Vacation is 30 days.'],
  ['a date and a word', 'Rules of 2026-11-27.', 'Laws of 2026-11-28.'],
])('an edit of %s is none', (_, before, prompt) => {
  expect(volatileWarnings(prompt, before)).toEqual([])
})

test('no text of the prompt is in a warning, and there are at most five', () => {
  const prompt = Array.from({ length: 20 }, (_, index) => `secretword request id: abc${index}`).join('\n')
  const warnings = volatileWarnings(prompt)
  expect(warnings).toHaveLength(5)
  expect(warnings.join('\n')).not.toMatch(/secretword|abc\d/)
})

test('prompts of the greatest length made against the patterns cost milliseconds', () => {
  for (const part of ['today is ', '1', 'a1-', 'date date ', '2026-11-28 ', 'request id ', '0123abcd-', 'current ', '1:11', 'mon ']) {
    const prompt = part.repeat(Math.floor(16_384 / part.length))
    const startedAt = performance.now()
    volatileWarnings(prompt, `${prompt}x`)
    expect([part, performance.now() - startedAt < 1_000]).toEqual([part, true])
  }
})

test.each(['user_id-', 'date and ', 'local '])('ten times as much of %s costs ten times as much, not a hundred times', (part) => {
  const prompt = part.repeat(Math.floor(163_840 / part.length))
  const startedAt = performance.now()
  expect(volatileWarnings(prompt)).toEqual([])
  expect(performance.now() - startedAt).toBeLessThan(500)
})
