/** caching.md §11 HTTP: H1 and H3. Every directive against every state of an entry. */
import { describe, expect, it } from 'vitest'

import { readDirectives } from '../../src/wire/cache-directives.ts'
import { CorralError } from '../../src/core/errors.ts'
import { take, type Taken } from './ask.ts'
import { cached, type Cached, chat } from './cached.ts'
import { chatLines } from './scripted.ts'

const text = chatLines(['stored']).join('')
const anew = chatLines(['anew']).join('')

type State = 'fresh' | 'stale' | 'miss' | 'in flight'

/** An entry of 60 s in the given state; `fresh`: 30 s old, `stale`: 20 s over. */
async function inState(state: State): Promise<Cached> {
  const built = cached({ options: { ttlMs: { inference: '60s' }, staleMs: '60s' } })
  if (state === 'miss') return built
  const first = take(built.ask(chat('hi')))
  if (state === 'in flight') return built
  built.upstream.at(0).begin(text).end()
  await first
  built.clock.advance(state === 'fresh' ? 30_000 : 80_000)
  return built
}

/** Asks with a `Cache-Control`; what upstream calls are open then answer. */
async function ask(built: Cached, control: string): Promise<Taken | { readonly status: number; readonly code: string }> {
  const answer = take(built.ask(chat('hi'), { headers: control === '' ? [] : ['cache-control', control] })).catch((thrown: unknown) => {
    if (!(thrown instanceof CorralError)) throw thrown
    return { status: thrown.status, code: thrown.code }
  })
  for (const call of built.upstream.calls) if (call.call.progress.phase !== 'streaming') call.begin(anew).end()
  return answer
}

interface Expected {
  readonly status?: number
  readonly line: string | null
  readonly age?: string
}

const hit = (age: string, ttl: number): Expected => ({ line: `corral;hit;ttl=${ttl};detail=memory`, age })
const forwarded = (how: string): Expected => ({ line: `corral;fwd=${how}` })
const refused: Expected = { status: 504, line: null }
const joined = forwarded('uri-miss;collapsed')

const table: readonly [string, State, Expected][] = [
  ['', 'fresh', hit('30', 30)],
  ['', 'stale', forwarded('stale')],
  ['', 'miss', forwarded('uri-miss')],
  ['', 'in flight', joined],
  ['no-store', 'fresh', forwarded('request')],
  ['no-store', 'stale', forwarded('request')],
  ['no-store', 'miss', forwarded('request')],
  ['no-store', 'in flight', forwarded('request')],
  ['no-cache', 'fresh', forwarded('request')],
  ['no-cache', 'stale', forwarded('request')],
  ['no-cache', 'miss', forwarded('request')],
  ['no-cache', 'in flight', forwarded('request')],
  ['only-if-cached', 'fresh', hit('30', 30)],
  ['only-if-cached', 'stale', refused],
  ['only-if-cached', 'miss', refused],
  ['only-if-cached', 'in flight', refused],
  ['only-if-cached, max-stale', 'fresh', hit('30', 30)],
  ['only-if-cached, max-stale', 'stale', hit('80', -20)],
  ['only-if-cached, max-stale', 'miss', refused],
  ['only-if-cached, max-stale', 'in flight', refused],
  ['max-age=40', 'fresh', hit('30', 30)],
  ['max-age=40', 'stale', forwarded('stale')],
  ['max-age=40', 'miss', forwarded('uri-miss')],
  ['max-age=40', 'in flight', joined],
  ['max-age=20', 'fresh', forwarded('request')],
  ['max-age=20', 'stale', forwarded('stale')],
  ['max-age=20', 'miss', forwarded('uri-miss')],
  ['max-age=20', 'in flight', joined],
  ['max-age=0', 'fresh', forwarded('request')],
  ['max-age=0', 'stale', forwarded('stale')],
  ['max-age=0', 'miss', forwarded('uri-miss')],
  ['max-age=0', 'in flight', joined],
  ['max-age=90, max-stale', 'stale', hit('80', -20)],
  ['max-age=70, max-stale', 'stale', forwarded('stale')],
  ['min-fresh=20', 'fresh', hit('30', 30)],
  ['min-fresh=20', 'stale', forwarded('stale')],
  ['min-fresh=20', 'miss', forwarded('uri-miss')],
  ['min-fresh=20', 'in flight', joined],
  ['min-fresh=40', 'fresh', forwarded('request')],
  ['max-stale', 'fresh', hit('30', 30)],
  ['max-stale', 'stale', hit('80', -20)],
  ['max-stale', 'miss', forwarded('uri-miss')],
  ['max-stale', 'in flight', joined],
  ['max-stale=30', 'stale', hit('80', -20)],
  ['max-stale=10', 'stale', forwarded('stale')],
  ['max-stale=30', 'fresh', hit('30', 30)],
  ['max-stale=30', 'miss', forwarded('uri-miss')],
  ['max-stale=30', 'in flight', joined],
  ['stale-if-error=30', 'fresh', hit('30', 30)],
  ['stale-if-error=30', 'stale', forwarded('stale')],
  ['stale-if-error=30', 'miss', forwarded('uri-miss')],
  ['stale-if-error=30', 'in flight', joined],
  ['unheard-of=1', 'fresh', hit('30', 30)],
  ['unheard-of=1', 'stale', forwarded('stale')],
  ['unheard-of=1', 'miss', forwarded('uri-miss')],
  ['unheard-of=1', 'in flight', joined],
]

const states: readonly State[] = ['fresh', 'stale', 'miss', 'in flight']
const directives = ['no-store', 'no-cache', 'only-if-cached', 'max-age', 'min-fresh', 'max-stale', 'stale-if-error'] as const

/** The one member of a list of RFC 9211, by the grammar of structured fields (RFC 9651 §3.1.2, §3.3): its name and parameters. */
function cacheStatus(field: string): { readonly name: string; readonly parameters: ReadonlyMap<string, number | string | boolean> } {
  const token = /^[a-zA-Z*][\w!#$%&'*+.^`|~:/-]*$/
  const [name = '', ...rest] = field.split(';')
  if (!token.test(name)) throw new Error(`no token: ${name}`)
  const parameters = new Map<string, number | string | boolean>()
  for (const parameter of rest) {
    const [, key, value] = /^([a-z*][a-z0-9_.*-]*)(?:=([^=]+))?$/.exec(parameter) ?? []
    if (key === undefined || parameters.has(key)) throw new Error(`no parameter, or one twice: ${parameter}`)
    if (value === undefined) parameters.set(key, true)
    else if (/^-?\d{1,15}$/.test(value)) parameters.set(key, Number(value))
    else if (token.test(value)) parameters.set(key, value)
    else throw new Error(`no bare item: ${value}`)
  }
  return { name, parameters }
}

describe('H1: directives', () => {
  it.each(table)('H1: "%s" on an entry that is %s', async (control, state, { status = 200, line, age }) => {
    const built = await inState(state)
    const answer = await ask(built, control)
    expect(answer.status).toBe(status)
    if (!('headers' in answer)) {
      expect(line).toBeNull()
      return
    }
    expect(answer.headers['cache-status']).toBe(line)
    expect(answer.headers.age).toBe(age)
    expect(answer.text).toBe(age === undefined ? anew : text)
  })

  it('H1: no-cache stores what it got, for all who come later', async () => {
    const built = await inState('fresh')
    await ask(built, 'no-cache')
    expect(await ask(built, '')).toMatchObject({ text: anew, headers: { age: '0' } })
  })

  it('H1: no-store stores nothing', async () => {
    const built = await inState('miss')
    await ask(built, 'no-store')
    expect(built.cache.stats().stored).toBe(0)
  })

  it('H1: a stale entry stands in for a failure when asked to, and only then', async () => {
    for (const [control, code] of [
      ['stale-if-error=30', null],
      ['stale-if-error=10', 'node_failed'],
      ['', 'node_failed'],
    ] as const) {
      const built = await inState('stale')
      const answer = take(built.ask(chat('hi'), { headers: ['cache-control', control] }))
      built.upstream.at(-1).fail(new CorralError('node_failed', 'broken'))
      if (code !== null) await expect(answer).rejects.toMatchObject({ code })
      else expect(await answer).toMatchObject({ text, headers: { 'cache-status': 'corral;hit;ttl=-20;detail=stale-if-error', age: '80' } })
    }
  })

  it('H1: no stale entry stands in that was purged, or got too old, before the failure came', async () => {
    const changes: readonly ((built: Cached) => unknown)[] = [
      ({ cache }) => cache.purge({}, { dryRun: false }),
      ({ clock }) => clock.advance(11_000),
    ]
    for (const change of changes) {
      const built = await inState('stale')
      const answer = take(built.ask(chat('hi'), { headers: ['cache-control', 'stale-if-error=30'] }))
      await change(built)
      built.upstream.at(-1).fail(new CorralError('node_failed', 'broken'))
      await expect(answer).rejects.toMatchObject({ code: 'node_failed' })
    }
  })

  it('H1: X-Corral-Cache switches a request on and off', async () => {
    const built = cached()
    const open = { ...chat('hi'), options: {} }
    for (const headers of [['x-corral-cache', 'on']]) {
      const first = take(built.ask(open, { headers }))
      built.upstream.at(-1).begin(text).end()
      await first
      expect((await take(built.ask(open, { headers }))).cache).toBe('hit')
    }
    const off = take(built.ask(chat('hi'), { headers: ['x-corral-cache', 'off'] }))
    built.upstream.at(-1).begin(text).end()
    expect((await off).headers).toMatchObject({ 'x-corral-cache': 'bypass', 'cache-status': 'corral;fwd=bypass;detail=off' })
  })

  it('H1: a route that is off stays off, and clients have no say where the operator took it', async () => {
    for (const options of [{ routes: { '/api/chat': 'off' } }, { mode: 'off', clientControl: false }]) {
      const built = cached({ options })
      const answer = take(built.ask(chat('hi'), { headers: ['x-corral-cache', 'on'] }))
      built.upstream.at(-1).begin(text).end()
      expect((await answer).cache).toBe('bypass')
    }
  })

  it('H1: every Cache-Status has hit or fwd, never both', async () => {
    for (const [control, state] of table) {
      const answer = await ask(await inState(state), control)
      if (!('headers' in answer)) continue
      const { name, parameters } = cacheStatus(String(answer.headers['cache-status']))
      expect(name).toBe('corral')
      expect(parameters.has('hit')).not.toBe(parameters.has('fwd'))
      const { hit: isHit, ttl, fwd, collapsed, detail, ...others } = Object.fromEntries(parameters)
      expect(others).toEqual({})
      expect([isHit ?? true, collapsed ?? true]).toEqual([true, true])
      expect([typeof ttl, typeof detail]).toEqual(isHit === true ? ['number', 'string'] : ['undefined', 'undefined'])
      expect([undefined, 'uri-miss', 'stale', 'request']).toContain(fwd)
    }
  })

  it.each(directives)('H1: the table has %s on every state of an entry', (directive) => {
    const ofIt = table.filter(([control]) => control.split('=')[0] === directive)
    expect(new Set(ofIt.map(([, state]) => state))).toEqual(new Set(states))
  })
})

describe('H3: odd directives', () => {
  it.each([
    ['max-age=-1', { maxAgeSeconds: null }],
    ['max-age=', { maxAgeSeconds: null }],
    ['max-age', { maxAgeSeconds: null }],
    ['max-age=99999999999999', { maxAgeSeconds: 2 ** 31 }],
    ['max-age="7"', { maxAgeSeconds: 7 }],
    ['max-age=7, max-age=3', { maxAgeSeconds: 3 }],
    ['min-fresh=7, min-fresh=3', { minFreshSeconds: 7 }],
    ['MAX-AGE=4', { maxAgeSeconds: 4 }],
    ['max-stale', { maxStaleSeconds: Infinity }],
    ['max-stale=abc', { maxStaleSeconds: null }],
    [' no-cache ,, no-store', { noCache: true, noStore: true }],
    [`max-age=1${' '.repeat(2_000)}`, { noStore: true }],
  ])('H3: %s', (control, expected) => {
    expect(readDirectives(['accept', 'x', 'cache-control', control])).toMatchObject(expected)
  })

  it('H3: several Cache-Control headers are one', () => {
    expect(readDirectives(['cache-control', 'max-age=9', 'cache-control', 'no-cache'])).toMatchObject({ maxAgeSeconds: 9, noCache: true })
  })
})
