// The two logs: valid JSON whatever a client sends, nothing of prompts, bounded and in order, on disk at the end.
import { mkdtempSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { assert, integer, property, string } from 'fast-check'
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import { accessLine, type AccessRecord, IsoTime, quote } from '../../src/observe/access-log.ts'
import { createLineSink } from '../../src/observe/line-sink.ts'
import { createLogs } from '../../src/observe/log.ts'
import { observeOptions } from '../../src/observe/options.ts'
import { keepLines, makeCall, makeObserver } from './fixtures.ts'

const record: AccessRecord = {
  id: 'r1',
  traceId: null,
  method: 'POST',
  route: '/api/chat',
  status: 200,
  outcome: 'ok',
  error: null,
  node: 'a',
  reason: 'only',
  attempts: 1,
  model: 'qwen3:8b',
  stream: true,
  ttftMs: 12.34567,
  durationMs: 99.9999,
  bytes: 5,
  inputTokens: 3,
  outputTokens: 4,
}

function temporaryFile(): string {
  return join(mkdtempSync(join(tmpdir(), 'corral-log-')), 'corral.log')
}

test('writes an access line that is one JSON object', () => {
  const line = accessLine('2026-11-25T00:00:00.000Z', record)
  expect(line.endsWith('}\n')).toBe(true)
  expect(JSON.parse(line)).toMatchObject({
    time: '2026-11-25T00:00:00.000Z',
    route: '/api/chat',
    ttftMs: 12.346,
    durationMs: 100,
    node: 'a',
  })
})

test('quotes any text as JSON does', () => {
  assert(property(string({ unit: 'binary' }), (text) => JSON.parse(quote(text)) === text))
  expect(JSON.parse(quote('a"b\\c\nd\u0000\ud800'))).toBe('a"b\\c\nd\u0000\ud800')
})

test('a model name cannot forge a second line or field', () => {
  const line = accessLine('t', { ...record, model: 'x","outcome":"ok"}\n{"level":"fatal' })
  expect(line.split('\n')).toHaveLength(2)
  expect(JSON.parse(line).model).toContain('fatal')
})

test('formats times as the standard library does', () => {
  const time = new IsoTime()
  assert(property(integer({ min: 0, max: 4_000_000_000_000 }), (wallMs) => time.format(wallMs) === new Date(wallMs).toISOString()))
})

test('shares one sink between both logs, in order', () => {
  const sink = keepLines()
  const { logger, access } = createLogs({ options: observeOptions.parse({}).log, clock: systemClock, terminal: false, sink })
  logger.info({ node: 'a' }, 'node is up')
  access.write(record)
  logger.warn('last')
  expect(sink.lines.map((line) => JSON.parse(line).msg)).toEqual(['node is up', 'request', 'last'])
})

test('hides what may hold a credential', () => {
  const sink = keepLines()
  const { logger } = createLogs({ options: observeOptions.parse({}).log, clock: systemClock, terminal: false, sink })
  logger.info({ headers: { authorization: 'Bearer secret' }, node: { headers: { 'x-key': 'secret' } } }, 'request')
  expect(sink.lines.join('')).not.toContain('secret')
})

test('is readable on a terminal', () => {
  const sink = keepLines()
  const { logger } = createLogs({ options: observeOptions.parse({}).log, clock: systemClock, terminal: true, sink })
  logger.warn({ node: 'a', reason: 'connection refused' }, 'node is down')
  expect(sink.lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}node is down node=a reason=connection refused\n$/)
})

test('logs a bug with its cause and stack', () => {
  const { observer, sink } = makeObserver()
  observer.bug(new CorralError('internal', 'internal error', { cause: new Error('the real one') }), makeCall('id-9'))
  const line = JSON.parse(sink.lines[0] ?? '')
  expect(line).toMatchObject({ level: 'error', id: 'id-9', trace: '4bf92f3577b34da6a3ce929d0e0e4736', err: { message: 'the real one' } })
  expect(line.err.stack).toContain('log.test')
})

test('puts lines on disk after a short time, without a flush', async () => {
  const file = temporaryFile()
  const sink = createLineSink({ file, clock: systemClock, flushEveryMs: 5 })
  sink.write('one\n')
  sink.write('two\n')
  await expect.poll(() => readFileSync(file, 'utf8')).toBe('one\ntwo\n')
})

test('keeps every line and their order under load', async () => {
  const file = temporaryFile()
  const sink = createLineSink({ file, clock: systemClock })
  for (let index = 0; index < 20_000; index += 1) {
    sink.write(`line ${index}\n`)
    if (index % 1_000 === 0) await Promise.resolve()
  }
  await sink.flush()
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  expect(lines).toEqual(Array.from({ length: 20_000 }, (_, index) => `line ${index}`))
  expect(sink.dropped).toBe(0)
})

test('drops and counts lines when its buffer is full, and goes on afterwards', async () => {
  const file = temporaryFile()
  const sink = createLineSink({ file, clock: systemClock, bufferBytesMax: 100, flushBytes: 1_000 })
  for (let index = 0; index < 30; index += 1) sink.write('0123456789')
  expect(sink.dropped).toBe(20)
  await sink.flush()
  sink.write('after')
  await sink.flush()
  expect(readFileSync(file, 'utf8')).toBe(`${'0123456789'.repeat(10)}after`)
})

test('writes everything at once at the end of the process', () => {
  const file = temporaryFile()
  const sink = createLineSink({ file, clock: systemClock })
  sink.write('last words\n')
  sink.flushSync()
  expect(readFileSync(file, 'utf8')).toBe('last words\n')
})

test('loses and repeats nothing when the file is rotated during a write', async () => {
  const file = temporaryFile()
  const sink = createLineSink({ file, clock: systemClock, flushBytes: 1 })
  sink.write('one\n')
  sink.write('two\n')
  renameSync(file, `${file}.1`)
  sink.reopen()
  await sink.flush()
  expect([readFileSync(`${file}.1`, 'utf8'), readFileSync(file, 'utf8')]).toEqual(['one\n', 'two\n'])
})

test('opens a new file after a rotation', async () => {
  const file = temporaryFile()
  const sink = createLineSink({ file, clock: systemClock })
  sink.write('old\n')
  await sink.flush()
  renameSync(file, `${file}.1`)
  sink.reopen()
  sink.write('new\n')
  await sink.flush()
  expect([readFileSync(`${file}.1`, 'utf8'), readFileSync(file, 'utf8')]).toEqual(['old\n', 'new\n'])
})
