// The words of requests on each kind of store: none where nobody asked for them, bounded where somebody did, each tenant's for itself,
// and gone when their time is over.
import { beforeAll, describe, expect, test } from 'vitest'

import { ByteQueue } from '../../src/base/byte-queue.ts'
import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Answer, Outcome } from '../../src/core/relay.ts'
import { AnswerText, boundedText } from '../../src/limits/answer-text.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { waitingTextBytesMax } from '../../src/limits/kept-text.ts'
import { migrations } from '../../src/migrations.ts'
import { UsageHistory } from '../../src/limits/usage-history.ts'
import { createUsageLedger, type UsageLedger } from '../../src/limits/usage-ledger.ts'
import { UsageSweep } from '../../src/limits/usage-sweep.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { options, principal } from './plans.ts'

const dayMs = 86_400_000
const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 }
const outcome: Outcome = { kind: 'ok', usage: null, frames: 1, bytes: 1, error: null }

function wholeAnswer(text: string): Answer {
  const body = Buffer.from(JSON.stringify({ message: { role: 'assistant', content: text }, done: true }))
  return { kind: 'whole', status: 200, headers: {}, body, outcome, provenance }
}

/** All rows of all tables as one text. */
async function everything(database: Database): Promise<string> {
  return database.tx('system', async (transaction) => {
    const { rows } = await transaction.query(`select tablename from pg_tables where schemaname = current_schema()`)
    let text = ''
    for (const { tablename } of rows) {
      const dump = await transaction.query(`select coalesce(string_agg(t::text, ' '), '') as dump from "${String(tablename)}" as t`)
      text += String(dump.rows[0]?.['dump'])
    }
    return text
  })
}

describeStores(storeKinds, (servers) => {
  let database: OpenableDatabase
  let history: UsageHistory
  let wallMs = Date.parse('2026-11-01T00:00:00.000Z')
  const clock = {
    ...systemClock,
    after: systemClock.after.bind(systemClock),
    nowMs: systemClock.nowMs.bind(systemClock),
    wallMs: () => wallMs,
  }

  beforeAll(async () => {
    database = await servers.open()
    await migrate(database, migrations, systemClock)
    history = new UsageHistory(database, 'the secret of this test')
    return () => database.close()
  })

  function ledgerWith(texts: Readonly<Record<string, unknown>>, store: Database = database): UsageLedger {
    return createUsageLedger({
      database: store,
      clock,
      options: () => options({ usage: { texts } }),
      classOf: () => '',
      budgetsOf: () => [],
      budgets: new Budgets(systemClock, () => 100),
      replica: `replica-${Math.random()}`,
    })
  }

  interface Asked {
    readonly tenant?: string
    readonly id: string
    readonly prompt: string
    readonly answer?: Answer | CorralError
    readonly headers?: readonly string[]
  }

  async function ask(
    ledger: UsageLedger,
    { tenant = 'acme', id, prompt, answer = wholeAnswer('fine'), headers = [] }: Asked,
  ): Promise<void> {
    const relay = ledger.layer(() => (answer instanceof CorralError ? Promise.reject(answer) : Promise.resolve(answer)))
    const request = makeRequest('/api/chat', { model: 'small', messages: [{ role: 'user', content: prompt }] })
    await relay({ ...request, headers }, makeCall({ id, principal: principal({ tenant }) })).catch(() => null)
    await new Promise((resolve) => setImmediate(resolve))
  }

  test('off, no table has a word of what was asked or answered', async () => {
    const ledger = ledgerWith({})
    await ask(ledger, { id: 'off', prompt: 'marmalade-prompt', answer: wholeAnswer('marmalade-answer') })
    await ledger.close()
    const all = await everything(database)
    expect(all).toContain('small:latest')
    expect(all).not.toContain('marmalade')
    expect(await history.readOne('off', 'acme')).toMatchObject({ id: 'off', prompt: null, answer: null, promptCut: false })
  })

  test('prompts are kept as they came, without answers; all keeps both', async () => {
    const [prompts, all] = [ledgerWith({ keep: 'prompts' }), ledgerWith({ keep: 'all' })]
    await ask(prompts, { id: 'p', prompt: 'only what was asked', answer: wholeAnswer('unheard-of') })
    await ask(all, { id: 'a', prompt: 'asked', answer: wholeAnswer('answered ☂ \0') })
    await prompts.close()
    await all.close()
    const kept = await history.readOne('p', null)
    expect(JSON.parse(kept.prompt ?? '')).toEqual({ model: 'small', messages: [{ role: 'user', content: 'only what was asked' }] })
    expect([kept.answer, kept.promptCut]).toEqual([null, false])
    expect(await everything(database)).not.toContain('unheard-of')
    expect(await history.readOne('a', null)).toMatchObject({
      prompt: expect.stringContaining('asked'),
      answer: 'answered ☂ ',
      answerCut: false,
    })
  })

  test('a request that says no-store leaves its record and no word', async () => {
    const ledger = ledgerWith({ keep: 'all' })
    const said = { prompt: 'quince-prompt', answer: wholeAnswer('quince-answer') }
    await ask(ledger, { ...said, id: 'no-store', headers: ['cache-control', 'max-age=0, No-Store'] })
    await ask(ledger, { id: 'no-cache', prompt: 'asked anew', headers: ['cache-control', 'no-cache'] })
    await ledger.close()
    expect(await everything(database)).not.toContain('quince')
    expect(await history.readOne('no-store', null)).toMatchObject({ id: 'no-store', prompt: null, answer: null })
    expect((await history.readOne('no-cache', null)).prompt).toContain('asked anew')
  })

  test('of a request that failed the prompt is kept; a model’s embeddings and lists have no answer', async () => {
    const ledger = ledgerWith({ keep: 'all' })
    await ask(ledger, { id: 'failed', prompt: 'what broke it', answer: new CorralError('no_node', 'nobody') })
    await ledger.layer(() => Promise.resolve(wholeAnswer('{}')))(
      makeRequest('/api/embed', { model: 'small', input: 'embed me' }),
      makeCall({ id: 'embedded', principal: principal({}) }),
    )
    await new Promise((resolve) => setImmediate(resolve))
    await ledger.close()
    expect(await history.readOne('failed', null)).toMatchObject({ prompt: expect.stringContaining('what broke it'), answer: null })
    expect(await history.readOne('embedded', null)).toMatchObject({ prompt: expect.stringContaining('embed me'), answer: null })
  })

  test('texts are cut to their size, and say so', async () => {
    const ledger = ledgerWith({ keep: 'all', bytesMax: 256 })
    await ask(ledger, { id: 'long', prompt: 'é'.repeat(1_000), answer: wholeAnswer('ü'.repeat(1_000)) })
    await ledger.close()
    const { prompt, promptCut, answer, answerCut } = await history.readOne('long', null)
    expect([promptCut, answerCut, answer]).toEqual([true, true, 'ü'.repeat(128)])
    expect(Buffer.byteLength(prompt ?? '')).toBeLessThanOrEqual(256)
    expect(prompt).not.toContain('\ufffd')
  })

  test('of a stream the words are kept that its client got, in time and to the last', async () => {
    const ledger = ledgerWith({ keep: 'all' })
    const frames = new ByteQueue(10_000)
    const answer: Answer = { kind: 'stream', status: 200, headers: {}, frames, outcome: Promise.resolve(outcome), provenance }
    const relay = ledger.layer(() => Promise.resolve(answer))
    const passed = await relay(makeRequest('/api/chat', { model: 'small', messages: [] }), makeCall({ id: 's', principal: principal({}) }))
    for (const word of ['one ', 'two ', 'three']) frames.push(Buffer.from(`${JSON.stringify({ message: { content: word } })}\n`))
    frames.end()
    if (passed.kind !== 'stream') throw new Error('no stream')
    expect(passed.frames.queuedBytes).toBe(frames.queuedBytes)
    // The node was done long before its client begins to read.
    await new Promise((resolve) => setImmediate(resolve))
    const got: string[] = []
    let isOver = false
    passed.frames.attach({ take: (chunk) => got.push(chunk.toString()) % 2 === 0, end: () => (isOver = true) })
    expect([isOver, got.length]).toEqual([false, 1])
    for (let pause = 0; pause < 3; pause += 1) passed.frames.resume()
    expect(isOver).toBe(true)
    await new Promise((resolve) => setImmediate(resolve))
    await ledger.close()
    expect(got).toHaveLength(3)
    expect((await history.readOne('s', null)).answer).toBe('one two three')
  })

  test('a client that leaves its stream leaves a record with what it got', async () => {
    const ledger = ledgerWith({ keep: 'all' })
    const frames = new ByteQueue(10_000)
    const settled = Promise.withResolvers<Outcome>()
    frames.onCancel = () => settled.resolve({ ...outcome, kind: 'client_gone' })
    const answer: Answer = { kind: 'stream', status: 200, headers: {}, frames, outcome: settled.promise, provenance }
    const relay = ledger.layer(() => Promise.resolve(answer))
    const passed = await relay(
      makeRequest('/api/chat', { model: 'small', messages: [] }),
      makeCall({ id: 'left', principal: principal({}) }),
    )
    if (passed.kind !== 'stream') throw new Error('no stream')
    passed.frames.attach({ take: () => true, end: () => undefined })
    frames.push(Buffer.from('{"message":{"content":"half"}}\n'))
    passed.frames.cancel('gone')
    expect([passed.frames.open, frames.open]).toEqual([false, false])
    await new Promise((resolve) => setImmediate(resolve))
    await ledger.close()
    expect(await history.readOne('left', null)).toMatchObject({ outcome: 'client_gone', answer: 'half' })
  })

  test('a tenant reads its own words alone, by the query and by the database', async () => {
    const ledger = ledgerWith({ keep: 'all' })
    await ask(ledger, { tenant: 'acme', id: 'shared-id', prompt: 'of acme' })
    await ask(ledger, { tenant: 'rival', id: 'shared-id', prompt: 'of rival' })
    await ask(ledger, { tenant: 'rival', id: 'rival-only', prompt: 'of rival too' })
    await ledger.close()
    expect((await history.readOne('shared-id', 'acme')).prompt).toContain('of acme')
    expect((await history.readOne('shared-id', 'rival')).prompt).toContain('of rival')
    await expect(history.readOne('rival-only', 'acme')).rejects.toMatchObject({ code: 'route_not_found' })
    expect((await history.readOne('rival-only', null)).tenant).toBe('rival')
    const { rows } = await database.tx({ tenant: 'acme' }, (transaction) => transaction.query('select distinct tenant from usage_texts'))
    expect(rows).toEqual([{ tenant: 'acme' }])
  })

  test('while the store is away the words that wait are bounded, and records go on', async () => {
    let isAway = true
    const away: Database = {
      kind: database.kind,
      tx: (scope, work, settings) =>
        isAway ? Promise.reject(new CorralError('store_unavailable', 'away')) : database.tx(scope, work, settings),
      close: () => Promise.resolve(),
    }
    const ledger = ledgerWith({ keep: 'all', bytesMax: 1_048_576 }, away)
    const prompt = 'x'.repeat(1_048_576)
    const fits = Math.floor(waitingTextBytesMax / (2 * 1_048_576))
    for (let index = 0; index < fits + 4; index += 1)
      await ask(ledger, { tenant: 'waiting', id: `w${index}`, prompt, answer: wholeAnswer('') })
    expect(ledger.stats.buffered).toBe(fits + 4)
    isAway = false
    await ledger.flush()
    await ledger.close()
    const count = async (table: string): Promise<number> => {
      const text = `select count(*) as count from ${table} where tenant = 'waiting'`
      const { rows } = await database.tx('system', (transaction) => transaction.query(text))
      return Number(rows[0]?.['count'])
    }
    expect([await count('usage_records'), await count('usage_texts')]).toEqual([fits + 4, fits])
  })

  test('words go before their records, and with them at the latest', async () => {
    wallMs += 100 * dayMs
    const ledger = ledgerWith({ keep: 'all' })
    await ask(ledger, { tenant: 'swept', id: 'old', prompt: 'forget me' })
    wallMs += 8 * dayMs
    await ask(ledger, { tenant: 'swept', id: 'young', prompt: 'keep me' })
    await ledger.close()
    const sweepAfter = (records: number, texts: number): Promise<number> => {
      const keepMs = () => ({ usage_records: records * dayMs, usage_texts: texts * dayMs })
      return new UsageSweep({ database, clock, keepMs, onTrouble: () => undefined }).sweep()
    }
    await sweepAfter(30, 7)
    expect(await history.readOne('old', null)).toMatchObject({ id: 'old', prompt: null })
    expect((await history.readOne('young', null)).prompt).toContain('keep me')
    expect(await everything(database)).not.toContain('forget me')
    wallMs += 2 * dayMs
    await sweepAfter(1, 1_000)
    expect(await everything(database)).not.toContain('keep me')
  })
})

describe('the words of an answer', () => {
  const said = (framing: 'ndjson' | 'sse', ...frames: string[]): string | null => {
    const text = new AnswerText(framing, 1_000)
    for (const frame of frames) text.add(Buffer.from(frame))
    return text.result?.text ?? null
  }

  test.each([
    ['Ollama’s chat', 'ndjson', ['{"message":{"content":"a"}}\n{"message":{"content":"b"}}\n', '{"message":{"content":""},"done":true}\n']],
    ['Ollama’s generate', 'ndjson', ['{"response":"a"}\n', '{"response":"b"}\n']],
    [
      'OpenAI’s chat',
      'sse',
      ['data: {"choices":[{"delta":{"content":"a"}}]}\n\n', 'data: {"choices":[{"delta":{"content":"b"}}]}\n\ndata: [DONE]\n\n'],
    ],
    ['OpenAI’s completions', 'sse', ['data: {"choices":[{"text":"ab"}]}\r\n\r\n']],
    ['Responses', 'sse', ['event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"ab"}\n\n']],
    ['Anthropic’s messages', 'sse', ['event: x\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"ab"}}\n\n']],
  ] as const)('are found in the frames of %s', (_, framing, frames) => {
    expect(said(framing, ...frames)).toBe('ab')
  })

  test.each([
    ['thinking', '{"message":{"content":"","thinking":"hm"}}\n'],
    ['a broken frame', '{"message":{"content":"a"\n'],
    ['an own field that is none', '{"message":{"content":{"a":1}}}\n'],
    ['an empty line', '\n'],
    ['a list', '[{"response":"a"}]\n'],
  ])('are not found in %s', (_, frame) => {
    expect(said('ndjson', frame)).toBeNull()
  })

  test.each([
    ['{"choices":[{"message":{"content":"ab"}},{"message":{"content":"other"}}]}'],
    ['{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}]}'],
    ['{"output":[{"type":"reasoning","content":[{"text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"ab"}]}]}'],
  ])('are found in the body %s', (body) => {
    const text = new AnswerText('none', 1_000)
    text.addBody(Buffer.from(body))
    expect(text.result).toEqual({ text: 'ab', isCut: false })
  })

  test('are never cut within a character', () => {
    for (let bytesMax = 0; bytesMax <= 9; bytesMax += 1) {
      const { text, isCut } = boundedText('a☂😀b', bytesMax)
      expect('a☂😀b'.startsWith(text)).toBe(true)
      expect(isCut).toBe(bytesMax < 9)
    }
  })
})
