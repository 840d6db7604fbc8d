// The gate lets in so many at once, in order, and heeds another width from then on.
import { expect, test } from 'vitest'

import { Gate } from '../../src/base/gate.ts'

const never = new AbortController().signal

interface Crowd {
  readonly gate: Gate
  readonly inside: string[]
  readonly leave: Map<string, () => void>
  width: number
  come(name: string, signal?: AbortSignal): Promise<void>
}

function crowd(width: number): Crowd {
  const own: Crowd = {
    width,
    gate: new Gate(() => own.width),
    inside: [],
    leave: new Map(),
    async come(name, signal = never) {
      const leave = await own.gate.enter(signal)
      own.inside.push(name)
      own.leave.set(name, leave)
    },
  }
  return own
}

/** All that is settled has been heard of. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('those who wait come in by turns, one for each that leaves', async () => {
  const it = crowd(1)
  for (const name of ['a', 'b', 'c']) void it.come(name)
  await settled()
  expect([it.inside, it.gate.waiting]).toEqual([['a'], 2])
  it.leave.get('a')?.()
  it.leave.get('a')?.()
  await settled()
  expect([it.inside, it.gate.waiting]).toEqual([['a', 'b'], 1])
})

test('a wider gate is filled by the next who leaves or comes, in order', async () => {
  const it = crowd(1)
  for (const name of ['a', 'b', 'c', 'd', 'e']) void it.come(name)
  it.width = 3
  await settled()
  it.leave.get('a')?.()
  await settled()
  expect([it.inside, it.gate.waiting]).toEqual([['a', 'b', 'c', 'd'], 1])
  it.width = 5
  void it.come('f')
  await settled()
  expect(it.inside).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
})

test('who no longer wants to gives up the turn, and a signal that is aborted already is a rejection', async () => {
  const it = crowd(1)
  void it.come('a')
  const left = new AbortController()
  const leaving = it.come('b', left.signal)
  void it.come('c')
  left.abort(new Error('gone'))
  await expect(leaving).rejects.toThrow('gone')
  it.leave.get('a')?.()
  await settled()
  expect(it.inside).toEqual(['a', 'c'])
  await expect(it.gate.enter(left.signal)).rejects.toThrow('gone')
})
