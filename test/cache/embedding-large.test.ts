// B4: large batches leave the process to others in between.

import { expect, test } from 'vitest'

import { nodeSays, setup, withoutCount } from './embedding-setup.ts'

test('B4 a large batch out of memory is printed in turns with everything else', async () => {
  const { ask } = setup()
  const input = Array.from({ length: 640 }, (_, index) => `text ${index}`)
  await ask({ input })
  let turns = 0
  let isOver = false
  const tick = (): void => {
    turns += 1
    if (!isOver) setImmediate(tick)
  }
  setImmediate(tick)
  const hit = await ask({ input })
  isOver = true
  expect(hit.cache).toBe('hit')
  expect(withoutCount(hit.text)).toBe(withoutCount(nodeSays({ input })))
  expect(turns).toBeGreaterThanOrEqual(8)
})

test('more texts than a request may be taken apart into pass by', async () => {
  const { ask } = setup()
  const input = Array.from({ length: 2_049 }, (_, index) => `${index}`)
  expect((await ask({ input })).cache).toBe('bypass')
  expect((await ask({ input: input.slice(1) })).cache).toBe('miss')
})
