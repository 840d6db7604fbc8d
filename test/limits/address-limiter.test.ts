// Requests without a credential, by address: bounded, by /64, and closed when the table is full.
import { expect, test } from 'vitest'

import { AddressLimiter, networkOf } from '../../src/limits/address-limiter.ts'

const limits = { enabled: true, unauthenticatedPerMinute: 3, addressesMax: 100 }

function admittedOf(limiter: AddressLimiter, addresses: readonly string[], nowMs = 0): number {
  return addresses.filter((address) => limiter.admit(address, nowMs).admitted).length
}

test('an address has its limit, another has its own', () => {
  const limiter = new AddressLimiter(() => limits)
  expect(
    admittedOf(
      limiter,
      Array.from({ length: 5 }, () => '192.0.2.1'),
    ),
  ).toBe(3)
  expect(limiter.admit('192.0.2.2', 0).admitted).toBe(true)
  expect(limiter.admit('192.0.2.1', 0)).toEqual({ admitted: false, waitMs: 20_000 })
  expect(limiter.admit('192.0.2.1', 20_000).admitted).toBe(true)
})

test('an IPv6 address counts with its /64', () => {
  expect(networkOf('2001:db8:1:2:aaaa::1')).toBe(networkOf('2001:0DB8:1:2::ffff'))
  expect(networkOf('2001:db8::1')).toBe(networkOf('2001:db8:0:0:5::'))
  expect(networkOf('2001:db8:1:2::')).not.toBe(networkOf('2001:db8:1:3::'))
  expect(networkOf('fe80::1%eth0')).toBe(networkOf('fe80::2'))
  expect(networkOf('::ffff:192.0.2.1')).toBe('192.0.2.1')
  expect(networkOf('64:ff9b::192.0.2.1')).toBe('64:ff9b:0:0')
})

test('a flood of addresses neither grows the table nor frees one that is limited', () => {
  const limiter = new AddressLimiter(() => limits)
  expect(
    admittedOf(
      limiter,
      Array.from({ length: 4 }, () => '192.0.2.1'),
    ),
  ).toBe(3)
  const flood = Array.from({ length: 1_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)
  expect(admittedOf(limiter, flood)).toBeLessThanOrEqual(limits.addressesMax + limits.unauthenticatedPerMinute)
  expect(limiter.size).toBeLessThanOrEqual(limits.addressesMax + 1)
  expect(limiter.admit('192.0.2.1', 0).admitted).toBe(false)
  expect(admittedOf(limiter, ['172.16.0.1'], 120_000)).toBe(1)
})

test('asking how long an address must wait takes nothing, and makes no entry', () => {
  const limiter = new AddressLimiter(() => limits)
  for (let round = 0; round < 20; round += 1) expect(limiter.waitMs('192.0.2.1', 0)).toBe(0)
  expect(limiter.size).toBe(0)
  expect(admittedOf(limiter, Array<string>(20).fill('192.0.2.1'))).toBe(limits.unauthenticatedPerMinute)
  expect(limiter.waitMs('192.0.2.1', 0)).toBe(limiter.admit('192.0.2.1', 0).waitMs)
  expect(limiter.waitMs('192.0.2.2', 0)).toBe(0)
})

test('what is on trial at once is held to the limit, and what was good gives its unit back', async () => {
  const limiter = new AddressLimiter(() => limits)
  const hold = () => limiter.hold('192.0.2.1', () => 0)
  const trials = Array.from({ length: 10 }, hold)
  const [first, second, third, ...later] = trials
  const heard: string[] = []
  for (const trial of later) void Promise.resolve(trial).then(({ admitted }) => heard.push(admitted ? 'try' : 'wait'))
  const rest = (): Promise<void> => new Promise((done) => setImmediate(done))
  const end = async (trial: ReturnType<typeof hold> | undefined, outcome: 'good' | 'bad'): Promise<void> => {
    if (trial === undefined || trial instanceof Promise || !trial.admitted) throw new Error('not on trial')
    trial.end(outcome)
    await rest()
  }
  await rest()
  expect(heard).toEqual([])
  await end(first, 'good')
  expect(heard).toEqual(['try'])
  await end(second, 'bad')
  expect(heard).toEqual(['try'])
  await end(third, 'bad')
  expect(heard).toEqual(['try'])
  await end(await later[0], 'bad')
  expect(heard).toEqual(['try', ...Array.from({ length: 6 }, () => 'wait')])
  expect(hold()).toEqual({ admitted: false, waitMs: 20_000 })
})

test('forgeries in the name of a signer use up what that signer has at that address, and a good signature gives it back', () => {
  let nowMs = 0
  const limiter = new AddressLimiter(() => limits)
  const judge = (address: string, signer: string, outcome: 'good' | 'bad' | 'untried'): number => {
    const trial = limiter.holdSigner(address, signer, () => nowMs)
    if (trial instanceof Promise) throw new Error('nobody else is on trial')
    if (!trial.admitted) return trial.waitMs
    trial.end(outcome)
    return 0
  }
  expect(admittedOf(limiter, Array<string>(20).fill('192.0.2.1'))).toBe(3)
  expect([judge('192.0.2.1', 'ana', 'bad'), judge('192.0.2.1', 'ana', 'bad'), judge('192.0.2.1', 'ana', 'good')]).toEqual([0, 0, 0])
  for (let round = 0; round < 3; round += 1) expect(judge('192.0.2.1', 'ana', 'bad')).toBe(0)
  expect(judge('192.0.2.1', 'ana', 'bad')).toBe(20_000)
  expect([judge('192.0.2.1', 'ben', 'good'), judge('192.0.2.2', 'ana', 'good')]).toEqual([0, 0])
  nowMs = 20_000
  // Who leaves before it is judged gives nothing back.
  expect([judge('192.0.2.1', 'ana', 'untried'), judge('192.0.2.1', 'ana', 'good'), judge('192.0.2.1', 'ana', 'bad')]).toEqual([0, 0, 0])
})

test('a forgery is charged to its address too', () => {
  const limiter = new AddressLimiter(() => limits)
  for (let round = 0; round < 3; round += 1) {
    const trial = limiter.holdSigner('192.0.2.1', 'ana', () => 0)
    if (trial instanceof Promise || !trial.admitted) throw new Error('not on trial')
    trial.end('bad')
  }
  expect(limiter.waitMs('192.0.2.1', 0)).toBe(20_000)
  expect(limiter.waitMs('192.0.2.2', 0)).toBe(0)
})

/** An IPv6 network for each index. */
const networkAt = (index: number): string => `2001:db8:${(index >> 8).toString(16)}:${(index & 255).toString(16)}::1`

test('no flood of addresses shuts out a signer who is known', () => {
  const limiter = new AddressLimiter(() => limits)
  for (let index = 0; index < limits.addressesMax + 20; index += 1) limiter.admit(networkAt(index), 0)
  expect(limiter.admit('192.0.2.7', 0).admitted).toBe(false)
  expect(limiter.holdSigner('192.0.2.7', 'ana', () => 0)).toMatchObject({ admitted: true })
})

test('forgeries in the name of one signer from any number of addresses grow no table, free nothing and shut out no other signer', () => {
  const limiter = new AddressLimiter(() => limits)
  const forge = (address: string): boolean => {
    const trial = limiter.holdSigner(address, 'ana', () => 0)
    if (trial instanceof Promise) throw new Error('nobody else is on trial')
    if (trial.admitted) trial.end('bad')
    return trial.admitted
  }
  for (let round = 0; round < limits.unauthenticatedPerMinute; round += 1) expect(forge(networkAt(0))).toBe(true)
  const admitted = Array.from({ length: 1_000 }, (_, index) => forge(networkAt(index))).filter(Boolean).length
  expect(admitted).toBe(limits.addressesMax - 1 + limits.unauthenticatedPerMinute)
  expect(forge(networkAt(0))).toBe(false)
  expect(limiter.size).toBeLessThanOrEqual(2 * (limits.addressesMax + 1))
  for (const address of [networkAt(0), networkAt(2_000)]) {
    expect(limiter.holdSigner(address, 'ben', () => 0)).toMatchObject({ admitted: true })
  }
})

test('no more wait for a trial than is set, and another address waits for none of them', () => {
  const limiter = new AddressLimiter(() => limits)
  const trials = Array.from({ length: 2_000 }, () => limiter.hold('192.0.2.1', () => 0))
  expect(trials.filter((trial) => trial instanceof Promise)).toHaveLength(1_000)
  expect(trials.at(-1)).toEqual({ admitted: false, waitMs: 1_000 })
  expect(limiter.hold('192.0.2.2', () => 0)).toMatchObject({ admitted: true })
})
