// How texts are cut into terms: what people type finds what stands there, and nothing that only looks like it.
import { describe, expect, test } from 'vitest'

import { bestWindow, highlightsOf } from '../../src/search/highlight.ts'
import { queryTerms } from '../../src/search/keyword/query-terms.ts'
import { detectLanguage } from '../../src/search/language.ts'
import { tokenise } from '../../src/search/tokenise.ts'

function termsOf(text: string, language = 'en'): string[] {
  return tokenise(text, language).map(({ term }) => term)
}

/** Whether a query of `asked` finds `text` at all. */
function finds(asked: string, text: string, language = 'en'): boolean {
  const held = new Set(termsOf(text, language))
  return queryTerms(asked, [language]).some(({ term }) => held.has(term))
}

/** Whether `text` has the compound `asked` itself. */
function hasWhole(asked: string, text: string): boolean {
  const held = new Set(termsOf(text))
  return queryTerms(asked, ['en']).some(({ term, sureWeight }) => sureWeight > 0 && held.has(term))
}

describe('a compound', () => {
  test('gives the same again wherever it stands, also after so many others that it is forgotten', () => {
    const text = 'getUserById of v1.2.3'
    const fresh = tokenise(text, 'en')
    const shifted = tokenise(`read: ${text}`, 'en').filter(({ lump }) => lump > 0)
    expect(shifted).toEqual(fresh.map((token) => ({ ...token, start: token.start + 6, end: token.end + 6, lump: token.lump + 1 })))
    for (let at = 0; at < 10_001; at += 1) tokenise(`item-${at}`, 'en')
    expect(tokenise(text, 'en')).toEqual(fresh)
    // The language decides how its parts are stemmed.
    expect(termsOf('userNames', 'none')).not.toEqual(termsOf('userNames', 'en'))
  })

  test.each([
    ['getUserById', 'user'],
    ['getUserById', 'getuserbyid'],
    ['user_session_id', 'sessions'],
    ['no-cache', 'cache'],
    ['node.js', 'node'],
    ['users.getUserById', 'getUserById'],
    ['ERR_CONNECTION_REFUSED', 'connection refused'],
    ['ORA-00942', 'ORA 00942'],
    ['TCP/IP', 'tcp'],
    ['std::vector<int>', 'vector'],
    ['docs.example.com/api/get_user', 'get_user'],
    ['HTTPServer', 'http server'],
    ['claude-3.5-sonnet', '3.5'],
  ])('%s is found by %s', (text, asked) => {
    expect(finds(asked, text)).toBe(true)
  })

  test.each([
    ['v1.2.3', '1.2.3'],
    ['1.2.3', 'v1.2.3'],
    ['AT&T', 'at&t'],
    ['0x80070005', '0X80070005'],
    ['--no-cache', '--no-cache'],
    ['C++', 'c++'],
    ['.NET', '.net'],
    ['non\u2011breaking', 'non-breaking'],
  ])('%s is the same as %s', (text, asked) => {
    expect(hasWhole(asked, text)).toBe(true)
  })

  test.each([
    ['node.js', 'nodejs'],
    ['e-mail', 'email'],
    ['co-operate', 'cooperate'],
    ['co\u2011operate', 'cooperating'],
    ['5MB', '5 MB'],
    ['30ms', '30 ms'],
    ['0xDEADBEEF', 'deadbeef'],
    ['ERR_CONNECTION_REFUSED', 'errconnectionrefused'],
    ['C++', 'cplusplus'],
    ['C#', 'csharp'],
    ['ORA-00942', 'ORA00942'],
  ])('%s and %s find each other, being one word', (text, asked) => {
    const own = (one: string): string[] => queryTerms(one, ['en']).map(({ term }) => term)
    // By more than a part that many others have, too.
    const parts = new Set(['node', 'js', 'mail', 'co', 'oper', '00942', 'ora'])
    const common = own(asked).filter((term) => termsOf(text).includes(term) && !parts.has(term))
    const reversed = own(text).filter((term) => termsOf(asked).includes(term) && !parts.has(term))
    expect(common).not.toEqual([])
    expect(reversed).not.toEqual([])
  })

  test('is not joined where digits or versions would become other numbers, or where it is longer than a name', () => {
    for (const text of ['claude-3.5-sonnet', '2024-11-05', '1.2.3-beta.1', 'v1.2.3', `${'name.'.repeat(10)}com`])
      expect(tokenise(text, 'en').filter(({ role }) => role === 'joined')).toEqual([])
  })

  test.each([
    ['1.2.30', 'v1.2.3'],
    ['C#', 'C++'],
    ['C', 'C++'],
    ['C++', 'C'],
    ['0x80070006', '0x80070005'],
  ])('%s is not found by %s', (text, asked) => {
    expect(finds(asked, text)).toBe(false)
  })

  test.each([
    ['getUserById', 'getUser'],
    ['users.getUser', 'getUser'],
    ['--no-cache-dir', '--no-cache'],
    ['no-cache', '--no-cache'],
    ['E-12345', 'E-1234'],
  ])('%s is not %s itself', (text, asked) => {
    expect(hasWhole(asked, text)).toBe(false)
  })
})

describe('a word', () => {
  test.each([
    ['Übung macht den Meister', 'ubung', 'de'],
    ['café', 'cafe', 'fr'],
    ['l’eau', 'eau', 'fr'],
    ['ﬁne ＡＢＣ', 'fine abc', 'en'],
    ['the user’s choices', 'user choice', 'en'],
    ['документацию', 'документация', 'ru'],
    ['ёлка', 'елка', 'ru'],
    ['1,000,000', '1000000', 'en'],
    ['Straße', 'strasse', 'de'],
  ])('%s is found by %s', (text, asked, language) => {
    expect(finds(asked, text, language)).toBe(true)
  })

  test('of another script keeps its letters', () => {
    expect(finds('мои', 'мой', 'none')).toBe(false)
    expect(finds('connection', 'ошибка connections', 'ru')).toBe(true)
  })

  test('of a script without spaces is cut into pairs', () => {
    expect(finds('検索', '日本語の検索')).toBe(true)
    expect(finds('茶', '绿茶很好')).toBe(true)
    expect(finds('索検', '日本語の検索')).toBe(false)
  })

  test('has offsets in the text as given', () => {
    const text = 'ＡＢＣ ﬁne getUserById 日本語'
    for (const { start, end } of tokenise(text, 'en')) expect(text.slice(start, end).trim()).toBe(text.slice(start, end))
    expect(tokenise(text, 'en').map(({ start, end }) => text.slice(start, end))).toEqual(
      expect.arrayContaining(['ＡＢＣ', 'ﬁne', 'getUserById', 'User', '本語']),
    )
  })
})

describe('a query', () => {
  test('leaves function words out where there are others', () => {
    expect(queryTerms('what is the capital of France', ['en']).map(({ term }) => term)).toEqual(['capit', 'franc'])
    expect(queryTerms('to be or not to be', ['en']).map(({ term }) => term)).toEqual(['to', 'be', 'or', 'not'])
    expect(queryTerms('the who', ['en']).length).toBeGreaterThan(0)
  })

  test('counts a word as often as it is said', () => {
    expect(queryTerms('flow over flow', ['en'])).toContainEqual({ term: 'flow', weight: 2, sureWeight: 0 })
  })

  test('takes time in proportion to its length, whatever it is made of', () => {
    for (const part of ['a.', '-', '_', 'aA', "'", '..', '日', '1,', 'ab::', '\u0301']) {
      const cpuMsOf = (characters: number): number => {
        const text = part.repeat(characters / part.length)
        const before = process.cpuUsage()
        tokenise(text, 'en')
        const { user, system } = process.cpuUsage(before)
        return (user + system) / 1_000
      }
      cpuMsOf(25_000)
      // Four times the text: what grows with the square takes sixteen times as long. Below 20 ms the clock of the kernel is too coarse.
      expect(cpuMsOf(100_000)).toBeLessThan(9 * Math.max(20, cpuMsOf(25_000)))
    }
  })
})

test('a language is told by script and function words, and by nothing less', () => {
  expect(detectLanguage('Die Verbindung wurde vom Server abgelehnt, weil die Anfrage nicht gültig war.')).toBe('de')
  expect(detectLanguage('Le serveur a refusé la connexion car la requête n’était pas valide.')).toBe('fr')
  expect(detectLanguage('Сервер отклонил соединение.')).toBe('ru')
  expect(detectLanguage('Los Angeles, Los Angeles, Los Angeles')).toBe('en')
  expect(detectLanguage('const a = b.i + o.u')).toBe('en')
  expect(detectLanguage('')).toBe('en')
})

test('highlights are the words that were found, apart from each other', () => {
  const text = 'The connections: getUserById failed, then connected again.'
  const terms = queryTerms('connection getUserById', ['en']).map(({ term }) => term)
  expect(highlightsOf(text, terms, ['en']).map(({ start, end }) => text.slice(start, end))).toEqual([
    'connections',
    'getUserById',
    'connected',
  ])
})

test('the best window of a long text has the most different terms', () => {
  const text = `${'cat '.repeat(100)}${'filler words '.repeat(100)}a cat and a dog met. ${'filler words '.repeat(100)}`
  const { start, end } = bestWindow(text, ['cat', 'dog'], { languages: ['en'], lengthMax: 120 })
  expect(end - start).toBeLessThanOrEqual(120)
  expect(text.slice(start, end)).toContain('cat and a dog')
})
