// Why the store failed is for the log alone: once per kind and ten seconds, and nothing changes for whoever waits.
import { expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { OutageLog } from '../../src/store/outage-log.ts'
import { manualClock } from '../fleet/manual-clock.ts'

function stand() {
  const clock = manualClock(0)
  const told: [string, unknown][] = []
  const log = new OutageLog({ clock, report: (message, cause) => told.push([message, cause]) })
  const failing = async (error: Error): Promise<never> => {
    throw error
  }
  const fail = (error: Error): Promise<void> => expect(log.watch(failing(error))).rejects.toBe(error)
  return { clock, told, log, fail }
}

const refused = (code: string) => Object.assign(new Error(`driver says ${code}`), { code })
const away = (code = 'ECONNREFUSED') => new CorralError('store_unavailable', 'the database cannot be reached', { cause: refused(code) })

test('an outcome passes through, and a failure is told with its cause', async () => {
  const { log, told, fail } = stand()
  expect(await log.watch(Promise.resolve(7))).toBe(7)
  expect(told).toEqual([])
  const error = away()
  await fail(error)
  expect(told).toEqual([['a transaction failed: the database cannot be reached', error.cause]])
})

test('the same kind is told again after ten seconds, with how many there were', async () => {
  const { clock, told, fail } = stand()
  for (let index = 0; index < 500; index += 1) await fail(away())
  clock.advance(9_999)
  await fail(away())
  expect(told).toHaveLength(1)
  clock.advance(1)
  await fail(away())
  expect(told.slice(1).map(([message]) => message)).toEqual(['a transaction failed: the database cannot be reached (and 500 times before)'])
  clock.advance(10_000)
  await fail(away())
  expect(told.at(-1)?.[0]).toBe('a transaction failed: the database cannot be reached')
})

test('another cause is another kind', async () => {
  const { told, fail } = stand()
  await fail(away('ECONNREFUSED'))
  await fail(away('57P01'))
  await fail(new CorralError('store_unavailable', 'no connection came free'))
  expect(told).toHaveLength(3)
  expect(told[2]).toEqual(['a transaction failed: no connection came free', null])
})

test('what is not the store’s fault is not told', async () => {
  const { told, fail } = stand()
  await fail(new CorralError('invalid_request', 'no such key'))
  await fail(new Error('a bug'))
  expect(told).toEqual([])
})

test('kinds without end do not fill the memory: from the two hundredth on they are told anew', async () => {
  const { told, fail } = stand()
  for (let index = 0; index < 201; index += 1) await fail(away(`E${index}`))
  await fail(away('E0'))
  await fail(away('E200'))
  expect(told).toHaveLength(202)
})
