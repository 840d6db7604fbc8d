// What `corral ingest` shows while it goes: bars drawn over and over at one place on a terminal, whole lines elsewhere, objects with `--json`.
import { describe, expect, test } from 'vitest'

import { createBars, createJsonLines, createLines, type IngestProgress } from '../../src/cli/rag/ingest-progress.ts'
import { Tally } from '../../src/cli/rag/ingest-tally.ts'
import { jobView } from '../../src/cli/rag/rag-api.ts'
import { type ManualClock, manualClock } from '../fleet/manual-clock.ts'
import { Screen } from './terminal.ts'

const pages = ['a', 'b']
const chunksEach = 1_000

/** A job in the middle of embedding, or at its end. */
function jobOf(document: string, embedded: number) {
  const isDone = embedded === chunksEach
  const stage = (name: string, done: number, total: number) => ({ stage: name, done, total, etaMs: null })
  return jobView.parse({
    id: document,
    collection: 'c',
    document,
    state: isDone ? 'done' : 'running',
    stage: isDone ? 'index' : 'embed',
    stages: [stage('chunk', chunksEach, chunksEach), stage('embed', embedded, chunksEach)],
    outcome: isDone ? 'written' : null,
    duplicateOf: null,
    error: null,
    createdAt: '2026-01-01T00:00:00.000Z',
  })
}

/** An ingest of two documents of one size, seen once a second. */
function play(progress: IngestProgress, clock: ManualClock, look: (seconds: number) => void = () => {}): Tally {
  const tally = new Tally(pages.map((document) => ({ document, path: document, sizeBytes: 4_000, wasNamed: true })))
  const steps: (() => void)[] = [
    () => {},
    () => pages.forEach((document) => tally.sent(document, 4_000)),
    () => tally.heard('a', jobOf('a', 400)),
    () => tally.heard('a', jobOf('a', chunksEach)),
    () => tally.heard('b', jobOf('b', 500)),
    () => tally.failed('b', { code: 'document_broken', message: 'cut off' }),
  ]
  steps.forEach((step, seconds) => {
    step()
    progress.show(tally)
    look(seconds)
    clock.advance(1_000)
  })
  return tally
}

describe('on a terminal', () => {
  test('five stages with counts and the time that is left are drawn at one place, and taken away at the end', () => {
    const [screen, clock] = [new Screen(80), manualClock()]
    screen.write('collection docs made\n')
    const progress = createBars(screen, clock)
    const seen: string[][] = []
    progress.end(play(progress, clock, () => seen.push(screen.lines)))
    expect(seen.map((lines) => [lines.length, lines[0]])).toEqual(seen.map(() => [7, 'collection docs made']))
    expect(seen[0]?.slice(1)).toEqual([
      'upload  [------------------------]   0 %  0/2',
      'extract [------------------------]   0 %  0/2',
      'chunk   [------------------------]   0 %  0/2',
      'embed   [------------------------]   0 %',
      'index   [------------------------]   0 %  0/2',
      '0 of 2 documents',
    ])
    expect(seen[2]?.slice(1)).toEqual([
      'upload  [########################] 100 %  2/2',
      'extract [############------------]  50 %  1/2',
      'chunk   [############------------]  50 %  1/2',
      'embed   [####--------------------]  20 %  400/1,000 chunks',
      'index   [------------------------]   0 %  0/2',
      '0 of 2 documents, 5 s left',
    ])
    expect(seen[4]?.slice(1)).toEqual([
      'upload  [########################] 100 %  2/2',
      'extract [########################] 100 %  2/2',
      'chunk   [########################] 100 %  2/2',
      'embed   [##################------]  75 %  1,500/2,000 chunks',
      'index   [############------------]  50 %  1/2',
      '1 of 2 documents, 1 s left',
    ])
    expect(seen[5]?.at(-1)).toMatch(/^2 of 2 documents, 1 failed/)
    expect(screen.lines).toEqual(['collection docs made'])
  })

  test('no more often than somebody can read, and why nothing moves stands in place of the time', () => {
    const [screen, clock] = [new Screen(80), manualClock()]
    const tally = new Tally([{ document: 'a', path: 'a', sizeBytes: 1, wasNamed: true }])
    const progress = createBars(screen, clock)
    progress.waiting('no node has\u001b[2J the embedder')
    for (let ms = 0; ms < 1_500; ms += 10) {
      progress.show(tally)
      clock.advance(10)
    }
    expect([screen.writes, screen.lines.at(-1)]).toEqual([10, 'no node has?[2J the embedder'])
    progress.waiting(null)
    progress.show(tally)
    expect(screen.lines.at(-1)).toBe('0 of 1 document')
  })

  test.for([
    [40, 39],
    [0, 79],
    [undefined, 79],
  ])('of %s columns a line has at most %i', ([columns, most]) => {
    const [screen, clock] = [new Screen(columns), manualClock()]
    const progress = createBars(screen, clock)
    progress.waiting('x'.repeat(200))
    play(progress, clock)
    expect(screen.lines.at(-1)).toBe('x'.repeat(most ?? 0))
  })
})

test('elsewhere it is a whole line every five seconds, and why nothing moves is said once', () => {
  const [screen, clock] = [new Screen(), manualClock()]
  const progress = createLines(screen, clock)
  progress.waiting('no node has the embedder')
  progress.waiting('no node has the embedder')
  const written: string[] = []
  const target = { write: (text: string) => written.push(text) }
  const plain = createLines(target, clock)
  plain.end(play(plain, clock))
  expect(screen.lines).toEqual(['no node has the embedder'])
  expect(written).toEqual([expect.stringMatching(/^2\/2 documents, 2,000\/2,000 chunks embedded, 1 failed, \d+ s left\n$/)])
})

test('as JSON it is one object a second, and the last at the end', () => {
  const clock = manualClock()
  const written: string[] = []
  const progress = createJsonLines({ write: (text: string) => written.push(text) }, clock)
  progress.end(play(progress, clock))
  const events = written.map((line): unknown => JSON.parse(line))
  expect(events).toHaveLength(7)
  const stages = ['upload', 'extract', 'chunk', 'embed', 'index'].map((stage) => expect.objectContaining({ stage }))
  expect(events[2]).toMatchObject({ event: 'progress', documents: 2, over: 0, stages, etaMs: expect.any(Number) })
  expect(events.at(-1)).toMatchObject({ over: 2, written: 1, failed: 1 })
})
