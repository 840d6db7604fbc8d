// A node's breaker: its transitions, its tickets and how long it ejects, over a clock that the test moves.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { type Breaker, createBreaker, type Ticket, type TicketResult } from '../../src/fleet/breaker.ts'
import { fleetOptions } from '../../src/fleet/options.ts'

const options = { ...fleetOptions.parse({}).breaker, ejectMs: 1_000, ejectMsMax: 3_000, windowMs: 10_000 }
/** In the middle of the jitter: ejections last exactly what the options say. */
const middle = 0.5

function breaker(random = middle, change: Partial<typeof options> = {}): Breaker {
  return createBreaker(
    () => ({ ...options, ...change }),
    () => random,
  )
}

function settle(target: Breaker, result: TicketResult, nowMs: number): void {
  target.acquire(nowMs)?.settle(result, nowMs)
}

function fail(target: Breaker, times: number, nowMs: number, result: TicketResult = 'fail'): void {
  for (let time = 0; time < times; time += 1) settle(target, result, nowMs)
}

/** Opened at 0 by five failures; a trial is allowed from 1,000 on. */
function opened(): Breaker {
  const target = breaker()
  fail(target, 5, 0)
  return target
}

describe('closed', () => {
  test('five failures in a row open it, four do not', () => {
    const target = breaker()
    fail(target, 4, 0)
    expect(target.state(0)).toBe('closed')
    fail(target, 1, 0)
    expect(target.state(0)).toBe('open')
  })

  test('a good answer between failures starts the count anew', () => {
    const target = breaker(middle, { failureRatioRequestsMin: 1_000 })
    fail(target, 4, 0)
    settle(target, 'ok', 0)
    fail(target, 4, 0)
    expect(target.state(0)).toBe('closed')
  })

  test('two broken streams in a row open it', () => {
    const target = breaker()
    fail(target, 1, 0, 'broken_stream')
    expect(target.state(0)).toBe('closed')
    fail(target, 1, 0, 'broken_stream')
    expect(target.state(0)).toBe('open')
  })

  test('neutral ends neither count nor excuse', () => {
    const target = breaker()
    fail(target, 50, 0, 'neutral')
    expect(target.state(0)).toBe('closed')
    fail(target, 4, 0)
    fail(target, 1, 0, 'neutral')
    fail(target, 1, 0)
    expect(target.state(0)).toBe('open')
  })

  test('a fifth of at least ten answers failing opens it without five in a row', () => {
    const target = breaker()
    for (const result of ['ok', 'ok', 'ok', 'ok', 'fail', 'ok', 'ok', 'ok', 'ok'] as const) settle(target, result, 0)
    expect(target.state(0)).toBe('closed')
    settle(target, 'fail', 0)
    expect(target.state(0)).toBe('open')
  })

  test('failures older than the window are forgotten by the share', () => {
    const target = breaker()
    for (const result of ['fail', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok'] as const) settle(target, result, 0)
    settle(target, 'fail', 11_000)
    expect(target.state(11_000)).toBe('closed')
  })

  test('a ticket counts once', () => {
    const target = breaker()
    const ticket = target.acquire(0)
    for (let time = 0; time < 10; time += 1) ticket?.settle('fail', 0)
    expect(target.state(0)).toBe('closed')
  })
})

describe('open and half open', () => {
  test('it allows a trial when the ejection is over', () => {
    const target = opened()
    expect(target.state(999)).toBe('open')
    expect(target.ejectedForMs(400)).toBe(600)
    expect(target.state(1_000)).toBe('half_open')
    expect(target.ejectedForMs(1_000)).toBe(0)
  })

  test('while a trial runs nobody else is let in', () => {
    const target = opened()
    target.state(1_000)
    target.acquire(1_000)
    expect(target.state(1_000)).toBe('open')
  })

  test('a good trial closes it', () => {
    const target = opened()
    settle(target, 'ok', 1_000)
    expect(target.state(1_000)).toBe('closed')
  })

  test.each(['fail', 'broken_stream'] as const)('a trial that ends as %s ejects for longer', (result) => {
    const target = opened()
    settle(target, result, 1_000)
    expect(target.state(2_999)).toBe('open')
    expect(target.state(3_000)).toBe('half_open')
  })

  test('a trial whose client left is given to the next request', () => {
    const target = opened()
    settle(target, 'neutral', 1_000)
    expect(target.state(1_000)).toBe('half_open')
    settle(target, 'ok', 1_001)
    expect(target.state(1_001)).toBe('closed')
  })

  test('tickets of an earlier generation change nothing', () => {
    const target = breaker()
    const old = Array.from({ length: 20 }, () => target.acquire(0))
    fail(target, 5, 0)
    settle(target, 'ok', 1_000)
    for (const ticket of old) ticket?.settle('fail', 1_001)
    expect(target.state(1_001)).toBe('closed')
  })

  test('a request let in by a panic decides nothing', () => {
    const target = opened()
    const panic = target.acquire(500)
    panic?.settle('ok', 600)
    expect(target.state(600)).toBe('open')
    panic?.settle('fail', 700)
    expect(target.ejectedForMs(700)).toBe(300)
  })

  test("the operator's will closes it and forgives earlier ejections", () => {
    const target = opened()
    settle(target, 'fail', 1_000)
    target.forceClose(1_010)
    expect(target.state(1_010)).toBe('closed')
    fail(target, 5, 1_020)
    expect(target.ejectedForMs(1_020)).toBe(1_000)
  })
})

describe('a trial on a long stream', () => {
  /** The ticket of a trial that began at 1,000. */
  function trial(target: Breaker): Ticket {
    const ticket = target.acquire(1_000)
    if (ticket === null) throw new Error('no ticket')
    return ticket
  }

  test('closes it as soon as the stream has proved itself', () => {
    const target = opened()
    const ticket = trial(target)
    expect(target.state(1_500)).toBe('open')
    ticket.prove(2_000)
    expect(target.state(2_000)).toBe('closed')
    expect(target.acquire(2_000)).not.toBeNull()
  })

  test('counts as a broken stream when it breaks after that', () => {
    const target = opened()
    const ticket = trial(target)
    ticket.prove(2_000)
    settle(target, 'broken_stream', 3_000)
    expect(target.state(3_000)).toBe('closed')
    ticket.settle('broken_stream', 4_000)
    expect(target.state(4_000)).toBe('open')
    expect(target.ejectedForMs(4_000)).toBe(2_000)
  })

  test('counts as a good answer when it ends well after that', () => {
    const target = opened()
    const ticket = trial(target)
    ticket.prove(2_000)
    fail(target, 4, 3_000)
    ticket.settle('ok', 3_000)
    fail(target, 1, 3_000)
    expect(target.state(3_000)).toBe('closed')
  })

  test('proves nothing when it is over, or when the breaker was closed and opened meanwhile', () => {
    const over = opened()
    const done = trial(over)
    done.settle('fail', 1_500)
    done.prove(1_600)
    expect(over.state(1_600)).toBe('open')

    const moved = opened()
    const old = trial(moved)
    moved.forceClose(1_100)
    fail(moved, 5, 1_200)
    old.prove(1_300)
    expect(moved.state(1_300)).toBe('open')
  })

  test('a stream that was no trial proves nothing', () => {
    const target = breaker()
    const ticket = target.acquire(0)
    fail(target, 5, 0)
    ticket?.prove(500)
    expect(target.state(500)).toBe('open')
  })
})

describe('ejection times', () => {
  test('they grow with each ejection in a row up to the cap', () => {
    const target = breaker()
    fail(target, 5, 0)
    const lengths: number[] = []
    let nowMs = 0
    for (let round = 0; round < 5; round += 1) {
      lengths.push(target.ejectedForMs(nowMs))
      nowMs += target.ejectedForMs(nowMs)
      settle(target, 'fail', nowMs)
    }
    expect(lengths).toEqual([1_000, 2_000, 3_000, 3_000, 3_000])
  })

  test('a flapping node is ejected for longer each time', () => {
    const target = opened()
    settle(target, 'ok', 1_000)
    fail(target, 5, 1_100)
    expect(target.ejectedForMs(1_100)).toBe(2_000)
  })

  test('a node that behaved for long starts anew', () => {
    const target = opened()
    settle(target, 'ok', 1_000)
    settle(target, 'ok', 4_001)
    fail(target, 5, 4_002)
    expect(target.ejectedForMs(4_002)).toBe(1_000)
  })

  /**
   * Ejected three times in a row, at 0 for 1 s, then for 2 s and 3 s; closed at 6,000. Then good answers and failures (`!`) at
   * these times after that, and five failures 1 ms after the last: for how long it is ejected,
   * the fourth time for 4 s if nothing is forgiven.
   */
  const courses: readonly [string, readonly (number | '!')[], number][] = [
    ['no good service', [], 4_000],
    ['less than one ejection long', [500, 999], 4_000],
    ['one ejection long', [500, 1_000], 3_000],
    ['two', [1_000, 2_000], 2_000],
    ['three', [1_000, 2_000, 3_000], 1_000],
    ['much longer than there were ejections', [1_000, 2_000, 3_000, 4_000, 5_000, 6_000], 1_000],
    ['many answers in a short time', [100, 200, 300, 400, 500, 600, 700, 800, 900], 4_000],
    ['two answers in a row after an idle time', [60_000, 60_001], 3_000],
    ['two answers an ejection apart after an idle time', [60_000, 61_000], 2_000],
    ['one failure in between', [500, '!', 1_000, 2_000], 2_000],
  ]

  test.each(courses)('each ejection time of good service forgives one: %s', (_, course, ejectedMs) => {
    const target = breaker(middle, { failureRatioRequestsMin: 1_000, ejectMsMax: 10_000 })
    let nowMs = 0
    fail(target, 5, nowMs)
    for (let trial = 0; trial < 2; trial += 1) {
      nowMs += target.ejectedForMs(nowMs)
      settle(target, 'fail', nowMs)
    }
    nowMs += target.ejectedForMs(nowMs)
    settle(target, 'ok', nowMs)
    const closedAtMs = nowMs
    for (const step of course) {
      if (step !== '!') nowMs = closedAtMs + step
      settle(target, step === '!' ? 'fail' : 'ok', nowMs)
    }
    fail(target, 5, nowMs + 1)
    expect(target.ejectedForMs(nowMs + 1)).toBe(ejectedMs)
  })

  test('jitter spreads the ends by a tenth to both sides', () => {
    const ends = [0, 0.999_999].map((random) => {
      const target = breaker(random)
      fail(target, 5, 0)
      return target.ejectedForMs(0)
    })
    expect(ends[0]).toBeCloseTo(900, 0)
    expect(ends[1]).toBeCloseTo(1_100, 0)
  })
})

test('a disabled breaker hands out no tickets and is closed', () => {
  const target = breaker(middle, { enabled: false })
  expect(target.acquire(0)).toBeNull()
  expect(target.state(0)).toBe('closed')
})

test('each change of state is told once', () => {
  const target = breaker()
  const seen: string[] = []
  target.onChange = (state) => seen.push(state)
  fail(target, 5, 0)
  target.state(1_000)
  target.state(1_000)
  settle(target, 'ok', 1_000)
  expect(seen).toEqual(['open', 'half_open', 'closed'])
})

type Step =
  | { readonly kind: 'ask' }
  | { readonly kind: 'prove'; readonly which: number }
  | { readonly kind: 'end'; readonly which: number; readonly result: TicketResult }
  | { readonly kind: 'wait'; readonly ms: number }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('ask' as const) }),
    fc.record({ kind: fc.constant('prove' as const), which: fc.nat(20) }),
    fc.record({
      kind: fc.constant('end' as const),
      which: fc.nat(20),
      result: fc.constantFrom<TicketResult>('ok', 'fail', 'broken_stream', 'neutral'),
    }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1_500 }) }),
  ),
  { maxLength: 120 },
)

/** Drives a breaker as admission does: it is asked only when it does not say `open`. */
class Driver {
  readonly target = breaker()
  readonly held: { ticket: Ticket; trial: boolean }[] = []
  nowMs = 0

  run(step: Step): void {
    if (step.kind === 'wait') this.nowMs += step.ms
    else if (step.kind === 'end') this.#end(step.which, step.result)
    else if (step.kind === 'prove') this.#prove(step.which)
    else this.#ask()
  }

  #prove(which: number): void {
    const one = this.held[which % Math.max(1, this.held.length)]
    one?.ticket.prove(this.nowMs)
    if (one !== undefined) one.trial = false
  }

  #ask(): void {
    const state = this.target.state(this.nowMs)
    if (state === 'open') return
    const ticket = this.target.acquire(this.nowMs)
    if (ticket !== null) this.held.push({ ticket, trial: state === 'half_open' })
  }

  #end(which: number, result: TicketResult): void {
    const [one] = this.held.splice(which % Math.max(1, this.held.length), 1)
    one?.ticket.settle(result, this.nowMs)
  }

  get trials(): number {
    return this.held.filter(({ trial }) => trial).length
  }
}

describe('for any course of events', () => {
  test('there are never two trials at once', () => {
    fc.assert(
      fc.property(steps, (course) => {
        const driver = new Driver()
        for (const step of course) {
          driver.run(step)
          expect(driver.trials).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  test('it is never stuck: once all requests ended and the ejection is over a good answer closes it', () => {
    fc.assert(
      fc.property(steps, (course) => {
        const driver = new Driver()
        for (const step of course) driver.run(step)
        while (driver.held.length > 0) driver.run({ kind: 'end', which: 0, result: 'neutral' })
        driver.nowMs += options.ejectMsMax * 1.2
        expect(driver.target.state(driver.nowMs)).not.toBe('open')
        settle(driver.target, 'ok', driver.nowMs)
        expect(driver.target.state(driver.nowMs)).toBe('closed')
      }),
    )
  })
})
