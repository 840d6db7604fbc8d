/** What workers ask each other, when one of those asked dies. The clock stands still unless a test moves it. */
import { expect, test } from 'vitest'

import type { ToWorker } from '../../src/cli/worker-messages.ts'
import { askMsMax, type AskedWorker, WorkerQuestions } from '../../src/cli/worker-questions.ts'
import { manualClock } from '../fleet/manual-clock.ts'

class FakeWorker implements AskedWorker {
  readonly heard: ToWorker[] = []
  readonly id: number
  channel: 'open' | 'breaking' | 'closed' = 'open'

  constructor(id: number) {
    this.id = id
  }

  isConnected(): boolean {
    return this.channel !== 'closed'
  }

  send(message: ToWorker, callback: (error: Error | null) => void): boolean {
    const isOpen = this.channel === 'open'
    if (isOpen) this.heard.push(message)
    callback(isOpen ? null : new Error('write EPIPE'))
    return isOpen
  }

  get answers() {
    return this.heard.flatMap((message) => (message.kind === 'answers' ? [message.answers] : []))
  }
}

function stand() {
  const clock = manualClock()
  const [asking, second, third] = [new FakeWorker(1), new FakeWorker(2), new FakeWorker(3)]
  return { clock, questions: new WorkerQuestions(clock), asking, second, third }
}

const scrape = (value: number): string => `# TYPE x counter\nx_total ${value}\n`

test('a worker that dies while it is asked keeps nobody waiting', () => {
  const { questions, asking, second, third } = stand()
  questions.ask(asking, [second, third], { id: 7, question: { kind: 'requests' } })
  questions.answered(third, { id: 1, answer: { requests: [] } })
  expect(asking.answers).toEqual([])
  questions.noteSilent(second.id)
  expect(asking.answers).toEqual([[{ requests: [] }]])
})

test('one whose channel breaks under the question, or closed before it, is not waited for either', () => {
  for (const channel of ['breaking', 'closed'] as const) {
    const { questions, asking, second } = stand()
    second.channel = channel
    questions.ask(asking, [second], { id: 7, question: { kind: 'fleet' } })
    expect(asking.answers).toEqual([[]])
  }
})

test('an asker that is gone gets no answer, and those who are asked go on', () => {
  const { questions, asking, second } = stand()
  questions.ask(asking, [second], { id: 7, question: { kind: 'requests' } })
  asking.channel = 'breaking'
  questions.answered(second, { id: 1, answer: { requests: [] } })
  questions.ask(second, [], { id: 8, question: { kind: 'requests' } })
  expect([asking.answers, second.answers]).toEqual([[], [[]]])
})

test('one that stays silent is left out after a while, and counted', () => {
  const { clock, questions, asking, second } = stand()
  questions.ask(asking, [second], { id: 7, question: { kind: 'requests' } })
  clock.advance(askMsMax)
  expect(asking.answers).toEqual([[{ silent: 1 }]])
})

test('one that did not answer a purge in time is told of, and one that is gone holds nothing', () => {
  const { clock, questions, asking, second, third } = stand()
  questions.ask(asking, [second, third], { id: 7, question: { kind: 'purge', selector: {}, dryRun: false } })
  questions.noteEnded(third.id)
  clock.advance(askMsMax)
  expect(asking.answers).toEqual([[{ silent: 1 }]])
})

test('what a worker had counted is in a scrape once, whenever it dies', () => {
  const { questions, asking, second, third } = stand()
  const question = { kind: 'scrape', own: scrape(1) } as const
  questions.ask(asking, [second, third], { id: 1, question })
  questions.answered(second, { id: 1, answer: { scrape: scrape(10) } })
  questions.answered(third, { id: 1, answer: { scrape: scrape(100) } })

  // After its answer, before that of the third.
  questions.ask(asking, [second, third], { id: 2, question })
  questions.answered(second, { id: 2, answer: { scrape: scrape(11) } })
  questions.noteEnded(second.id)
  questions.answered(third, { id: 2, answer: { scrape: scrape(101) } })

  // Before any answer of its own.
  questions.ask(asking, [third], { id: 3, question })
  questions.noteEnded(third.id)
  questions.ask(asking, [], { id: 4, question })

  expect(asking.answers[1]).toEqual([{ scrape: scrape(11) }, { scrape: scrape(101) }])
  expect(asking.answers[2]).toEqual([{ scrape: scrape(101) }, { gone: scrape(11) }])
  expect(asking.answers[3]).toEqual([{ gone: expect.stringContaining('x_total 112') }])
})
