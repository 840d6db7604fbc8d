// What one process knows of GPU time: by period, by who has it, and whom it tells.
import { expect, test } from 'vitest'

import { Budgets, type CounterId } from '../../src/limits/budget.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { planOf } from './plans.ts'

const newYear = Date.parse('2026-12-31T23:59:59.000Z')
const budgetsAt = (wallMs: number, countersMax = 100) => {
  const clock = manualClock(wallMs)
  return { clock, budgets: new Budgets(clock, () => countersMax) }
}
const day = { tenant: 'acme', place: 't', period: '2026-12-31' }
const { budgets: lines } = planOf({ ofTenant: { gpuSecondsPerDay: 2, gpuSecondsPerMonth: 5 } })

test('a budget is watched in the periods that count now, in UTC, with the time until each ends', () => {
  const { clock, budgets } = budgetsAt(newYear)
  budgets.spend('acme', ['t'], 1_500_000)
  expect(budgets.watch('acme', lines)).toEqual([
    {
      counter: { ...day, period: '2026-12', storedUs: 0, unwrittenUs: 1_500_000, ownUs: 1_500_000 },
      limitUs: 5_000_000,
      spent: { scope: 'tenant', period: 'month', limitSeconds: 5, resetMs: 1_000 },
    },
    {
      counter: { ...day, storedUs: 0, unwrittenUs: 1_500_000, ownUs: 1_500_000 },
      limitUs: 2_000_000,
      spent: { scope: 'tenant', period: 'day', limitSeconds: 2, resetMs: 1_000 },
    },
  ])
  clock.advance(1_000)
  expect(budgets.watch('acme', lines).map(({ counter }) => [counter.period, counter.unwrittenUs])).toEqual([
    ['2027-01', 0],
    ['2027-01-01', 0],
  ])
})

test('what is written moves from what the store lacks to what it has', () => {
  const { budgets } = budgetsAt(newYear)
  const spent = budgets.spend('acme', ['t'], 700)
  budgets.spend('acme', ['t'], 50)
  budgets.synchronise(
    spent,
    spent.map((counter) => ({ ...counter, gpuUs: 10_000 })),
  )
  expect(budgets.read(day)).toMatchObject({ storedUs: 10_000, unwrittenUs: 50 })
})

test('what nobody will write counts on, beside whatever the store says later', () => {
  const { budgets } = budgetsAt(newYear)
  budgets.keep(budgets.spend('acme', ['t'], 700))
  budgets.synchronise([], [{ ...day, gpuUs: 10_000 }])
  expect(budgets.read(day)).toMatchObject({ storedUs: 10_000, unwrittenUs: 700 })
  expect(budgets.usedSeconds('acme', 't', 'day')).toBe(0.0107)
})

test('changes of watched counters are told, when they are spent and when they are written, and no others', () => {
  const { budgets } = budgetsAt(newYear)
  const told: string[] = []
  budgets.onChange = (changed: readonly CounterId[]) => told.push(changed.map(({ place, period }) => `${place} ${period}`).join())
  budgets.spend('acme', ['t', 'c:k'], 5)
  expect(told).toEqual([])
  budgets.watch('acme', lines)
  const spent = budgets.spend('acme', ['t', 'c:k'], 5)
  budgets.synchronise(spent, [])
  expect(told).toEqual(['t 2026-12-31,t 2026-12', 't 2026-12-31,t 2026-12'])
})

test('a counter with something to write is not forgotten, whatever their number', () => {
  const { budgets } = budgetsAt(newYear, 2)
  const spent = budgets.spend('acme', ['t'], 5)
  budgets.spend('other', ['t'], 5)
  expect(budgets.read(day).unwrittenUs).toBe(5)
  budgets.synchronise(spent, [])
  budgets.spend('third', ['t'], 5)
  expect(budgets.read(day).unwrittenUs).toBe(0)
})

test('what was written is told with its total, however many other totals come with it', () => {
  const { budgets } = budgetsAt(newYear, 2)
  budgets.watch('acme', lines)
  const told: unknown[] = []
  budgets.onChange = (changed) => told.push(changed.map((id) => budgets.read(id)))
  const spent = budgets.spend('acme', ['t'], 5)
  const totals = spent.map((counter) => ({ ...counter, gpuUs: 1_005 }))
  const others = ['b', 'c', 'd'].map((tenant) => ({ ...day, tenant, gpuUs: 7 }))
  budgets.synchronise(spent, [...totals, ...others])
  expect(told.at(-1)).toMatchObject([
    { ...day, storedUs: 1_005, unwrittenUs: 0 },
    { ...day, period: '2026-12', storedUs: 1_005, unwrittenUs: 0 },
  ])
})

test('what nobody will write is not forgotten while a budget counts it, until its period is over', () => {
  const { clock, budgets } = budgetsAt(newYear, 2)
  budgets.watch('acme', lines)
  budgets.keep(budgets.spend('acme', ['t'], 5))
  budgets.keep(budgets.spend('other', ['t'], 5))
  budgets.keep(budgets.spend('third', ['t'], 5))
  expect(budgets.read(day).unwrittenUs).toBe(5)
  expect(budgets.read({ ...day, tenant: 'other' }).unwrittenUs).toBe(0)
  clock.advance(1_000)
  budgets.periods()
  expect(budgets.read(day).unwrittenUs).toBe(0)
})

test('what was used while Redis was asked counts beside its answer', () => {
  const { budgets } = budgetsAt(newYear)
  budgets.spend('acme', ['t'], 5)
  const told = budgets.read(day)
  const spent = budgets.spend('acme', ['t'], 700)
  budgets.synchronise(spent, [])
  budgets.learn([told], [1_005])
  expect(budgets.usedSeconds('acme', 't', 'day')).toBe(0.001705)
})
