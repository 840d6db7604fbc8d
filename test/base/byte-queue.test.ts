// The bytes between a node that never waits and a client that may: bounded, in order, and gone once they are handed on.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { type ByteConsumer, ByteQueue } from '../../src/base/byte-queue.ts'
import { collect } from '../support/collect.ts'

/** A consumer that takes `room` chunks and then is full until it is given room again. */
class SlowConsumer implements ByteConsumer {
  readonly taken: number[] = []
  ended = false
  room = 0

  take(chunk: Buffer): boolean {
    this.taken.push(chunk[0] ?? -1)
    this.room -= 1
    return this.room > 0
  }

  end(): void {
    this.ended = true
  }
}

const chunk = (bytes: number, mark = 0): Buffer => Buffer.alloc(bytes, mark)

describe('the bound', () => {
  test('refuses the chunk that would pass it, and takes it when there is room again', () => {
    const queue = new ByteQueue(100)
    expect([queue.push(chunk(60)), queue.push(chunk(41)), queue.push(chunk(40)), queue.push(chunk(1))]).toEqual([true, false, true, false])
    expect(queue.queuedBytes).toBe(100)
    const consumer = new SlowConsumer()
    consumer.room = 1
    queue.attach(consumer)
    expect([queue.queuedBytes, queue.push(chunk(60)), queue.queuedBytes]).toEqual([40, true, 100])
  })

  test('is passed by a single chunk only, which nobody could be sent else', () => {
    const queue = new ByteQueue(100)
    expect([queue.push(chunk(1_000)), queue.push(chunk(1)), queue.queuedBytes]).toEqual([true, false, 1_000])
  })

  test('holds for any course, and nothing is lost or out of order', () => {
    const steps = fc.array(
      fc.oneof(fc.record({ push: fc.integer({ min: 1, max: 70 }) }), fc.record({ room: fc.integer({ min: 1, max: 3 }) })),
    )
    fc.assert(
      fc.property(steps, (course) => {
        const queue = new ByteQueue(100)
        const consumer = new SlowConsumer()
        consumer.room = 1
        queue.attach(consumer)
        const pushed: number[] = []
        for (const step of course) {
          if ('room' in step) {
            consumer.room = step.room
            queue.resume()
          } else if (queue.push(chunk(step.push, pushed.length % 256))) pushed.push(pushed.length % 256)
          expect(queue.queuedBytes).toBeLessThanOrEqual(100)
        }
        queue.end()
        consumer.room = Infinity
        queue.resume()
        expect(consumer.taken).toEqual(pushed)
        expect([consumer.ended, queue.queuedBytes]).toEqual([true, 0])
      }),
    )
  })
})

test('what was handed on is not held, though the client never catches up', async () => {
  const queue = new ByteQueue(1_048_576)
  const consumer = new SlowConsumer()
  queue.attach(consumer)
  const seen: WeakRef<Buffer>[] = []
  const push = (): void => {
    const bytes = chunk(1_024)
    seen.push(new WeakRef(bytes))
    queue.push(bytes)
  }
  for (let count = 0; count < 10; count += 1) push()
  for (let round = 0; round < 1_000; round += 1) {
    push()
    consumer.room = 1
    queue.resume()
  }
  await new Promise(setImmediate)
  collect()
  expect(queue.queuedBytes).toBeGreaterThan(0)
  expect(seen.filter((reference) => reference.deref() !== undefined).length * 1_024).toBeLessThanOrEqual(queue.queuedBytes + 1_024)
})
