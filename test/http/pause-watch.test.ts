// An upload that stands still is ended, one that moves is not, and a request that was destroyed meanwhile upsets nobody.
import { expect, test } from 'vitest'

import { PauseWatch } from '../../src/http/pause-watch.ts'
import { manualClock } from '../fleet/manual-clock.ts'

interface Upload {
  complete: boolean
  socket: { bytesRead: number }
}

test('what stands still for a pause is ended, what moves goes on', async () => {
  const clock = manualClock()
  const upload: Upload = { complete: false, socket: { bytesRead: 10 } }
  const watch = new PauseWatch(upload, clock, 1_000)
  let ended: unknown = null
  watch.broken.catch((error: unknown) => (ended = error))
  upload.socket.bytesRead = 20
  clock.advance(1_000)
  expect(ended).toBe(null)
  clock.advance(1_000)
  await Promise.resolve()
  expect(ended).toMatchObject({ code: 'body_timeout' })
})

test('a request that was destroyed, which has no socket any more, is judged by the one it had', async () => {
  const clock = manualClock()
  const upload: Upload = { complete: false, socket: { bytesRead: 10 } }
  const watch = new PauseWatch(upload, clock, 1_000)
  let ended: unknown = null
  watch.broken.catch((error: unknown) => (ended = error))
  Reflect.set(upload, 'socket', null)
  clock.advance(1_000)
  await Promise.resolve()
  expect(ended).toMatchObject({ code: 'body_timeout' })
})

test('one that is held up by what it goes to is not ended', async () => {
  const clock = manualClock()
  let held = true
  const upload = { complete: false, socket: { bytesRead: 10 }, isHeldUp: () => held }
  const watch = new PauseWatch(upload, clock, 1_000)
  let ended: unknown = null
  watch.broken.catch((error: unknown) => (ended = error))
  for (let pause = 0; pause < 5; pause += 1) clock.advance(1_000)
  await Promise.resolve()
  expect(ended).toBe(null)
  held = false
  clock.advance(1_000)
  await Promise.resolve()
  expect(ended).toMatchObject({ code: 'body_timeout' })
})
