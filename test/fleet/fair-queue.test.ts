// The waiting line: bounded, interactive before batch, tenants in turn.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { FairQueue, type Waiting } from '../../src/fleet/fair-queue.ts'

interface Item extends Waiting {
  readonly id: number
}

let lastId = 0

function item(tenant: string, priority: Item['priority'] = 'interactive'): Item {
  lastId += 1
  return { id: lastId, tenant, priority }
}

/** Serves everything; tenants in the order of service. */
function serveAll(queue: FairQueue<Item>): string[] {
  const served: string[] = []
  for (;;) {
    const next = queue.inOrder().next()
    if (next.done === true) return served
    served.push(next.value.tenant)
    queue.remove(next.value, true)
  }
}

function filled(tenants: readonly string[]): FairQueue<Item> {
  const queue = new FairQueue<Item>(() => 1_000)
  for (const tenant of tenants) queue.add(item(tenant))
  return queue
}

describe('fairness', () => {
  test('tenants take turns, each in its own order', () => {
    expect(serveAll(filled(['a', 'a', 'a', 'b', 'c', 'c']))).toEqual(['a', 'b', 'c', 'a', 'c', 'a'])
  })

  test("a newcomer behind another's hundred requests is second", () => {
    const queue = filled(Array.from({ length: 100 }, () => 'greedy'))
    const late = item('late')
    queue.add(late)
    expect([...queue.inOrder()].indexOf(late)).toBe(1)
  })

  test('one who was served and comes back waits for the turn of the others', () => {
    const queue = filled(['a', 'b', 'c'])
    const [first] = queue.inOrder()
    if (first !== undefined) queue.remove(first, true)
    queue.add(item('a'))
    expect(serveAll(queue)).toEqual(['b', 'c', 'a'])
  })

  test('between a greedy and a modest tenant service differs by one at most while both wait', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), (greedy, modest) => {
        const served = serveAll(filled([...Array.from({ length: greedy }, () => 'a'), ...Array.from({ length: modest }, () => 'b')]))
        const both = served.slice(0, 2 * Math.min(greedy, modest))
        expect(both.filter((tenant) => tenant === 'a').length).toBe(both.length / 2)
      }),
    )
  })
})

describe('priority', () => {
  test('batch waits behind everything interactive', () => {
    const queue = new FairQueue<Item>(() => 10)
    queue.add(item('bulk', 'batch'))
    queue.add(item('person'))
    queue.add(item('bulk', 'batch'))
    queue.add(item('person'))
    expect(serveAll(queue)).toEqual(['person', 'person', 'bulk', 'bulk'])
  })

  test('a retry stands before the others of its tenant', () => {
    const queue = filled(['a', 'a', 'b'])
    const retry = item('a')
    queue.add(retry, true)
    expect([...queue.inOrder()][0]).toBe(retry)
  })
})

describe('bound', () => {
  test('the line refuses what is over its limit, but never a retry', () => {
    const queue = new FairQueue<Item>(() => 2)
    expect([queue.add(item('a')), queue.add(item('a')), queue.add(item('a'))]).toEqual([true, true, false])
    expect(queue.full).toBe(true)
    expect(queue.add(item('a'), true)).toBe(true)
    expect(queue.size).toBe(3)
  })

  test('who left the line is at no place and cannot leave twice', () => {
    const queue = new FairQueue<Item>(() => 2)
    const one = item('a')
    queue.add(one)
    expect(queue.remove(one)).toBe(true)
    expect(queue.remove(one)).toBe(false)
    expect([...queue.inOrder()]).toEqual([])
    expect(queue.size).toBe(0)
  })
})

test('for any course nobody is lost, doubled or served out of its own order', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), tenant: fc.constantFrom('a', 'b', 'c'), batch: fc.boolean() }),
    fc.record({ kind: fc.constant('serve' as const) }),
    fc.record({ kind: fc.constant('leave' as const), which: fc.nat(50) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (course) => {
      const queue = new FairQueue<Item>(() => 1_000)
      const waiting = new Set<Item>()
      const lastServed = new Map<string, number>()
      for (const one of course) {
        if (one.kind === 'add') {
          const added = item(one.tenant, one.batch ? 'batch' : 'interactive')
          queue.add(added)
          waiting.add(added)
        }
        const order = [...queue.inOrder()]
        expect(new Set(order)).toEqual(waiting)
        expect(order.length).toBe(queue.size)
        const taken = one.kind === 'serve' ? order[0] : one.kind === 'leave' ? order[one.which % Math.max(1, order.length)] : undefined
        if (taken === undefined) continue
        expect(queue.remove(taken, one.kind === 'serve')).toBe(true)
        waiting.delete(taken)
        if (one.kind !== 'serve') continue
        const line = `${taken.tenant} ${taken.priority}`
        expect(taken.id).toBeGreaterThan(lastServed.get(line) ?? 0)
        lastServed.set(line, taken.id)
      }
    }),
  )
})
