/** caching.md §11 I4: from how long an answer takes nobody learns what another tenant asked. */
import { expect, test } from 'vitest'

import { take } from './ask.ts'
import { cached, type Cached, chat } from './cached.ts'
import { chatLines } from './scripted.ts'
import { seeded } from './tenant-walk.ts'

const probes = 1_000
const text = chatLines(['an answer']).join('')

/** Milliseconds of one answer for `tenant`. */
async function probe({ ask }: Cached, question: string, tenant: string): Promise<number> {
  const startMs = performance.now()
  await take(ask(chat(question), { tenant }))
  return performance.now() - startMs
}

/** Two-sample Kolmogorov–Smirnov: the chance of such a distance when both come from one distribution (asymptotic). */
function ksChance(one: readonly number[], other: readonly number[]): number {
  const all = [...one.map((value) => ({ value, step: 1 / one.length })), ...other.map((value) => ({ value, step: -1 / other.length }))]
  let gap = 0
  let distance = 0
  const sorted = all.toSorted((a, b) => a.value - b.value)
  for (const [index, { value, step }] of sorted.entries()) {
    gap += step
    // Equal values count together.
    if (sorted[index + 1]?.value !== value) distance = Math.max(distance, Math.abs(gap))
  }
  const lambda = distance * Math.sqrt((one.length * other.length) / (one.length + other.length))
  let chance = 0
  for (let k = 1; k <= 100; k += 1) chance += 2 * (-1) ** (k - 1) * Math.exp(-2 * k * k * lambda * lambda)
  return lambda < 0.2 ? 1 : Math.min(1, Math.max(0, chance))
}

/** How alike are the times of `prober` for questions that tenant a had asked and for fresh ones, in mixed order. */
async function likeness(prober: string, seed: number): Promise<number> {
  const built = cached({ onCall: (call) => call.begin(text).end() })
  for (let index = 0; index < probes; index += 1) await probe(built, `known ${seed} ${index}`, 'a')
  const random = seeded(seed)
  const left = { known: probes, fresh: probes }
  const times: { readonly known: number[]; readonly fresh: number[] } = { known: [], fresh: [] }
  while (left.known + left.fresh > 0) {
    const kind = random() * (left.known + left.fresh) < left.known ? 'known' : 'fresh'
    left[kind] -= 1
    times[kind].push(await probe(built, `${kind} ${seed} ${left[kind]}`, prober))
  }
  return ksChance(times.known, times.fresh)
}

test('I4: a thousand probes for what another tenant asked look like a thousand for what nobody asked', async () => {
  // Chance alone fails one look of a hundred, hence three: a leak would fail them all.
  const looks: number[] = []
  for (let seed = 1; seed <= 3 && !looks.some((chance) => chance > 0.01); seed += 1) looks.push(await likeness('b', seed))
  expect(Math.max(...looks)).toBeGreaterThan(0.01)
})

test('I4: the same probes tell a tenant what it asked itself', async () => {
  expect(await likeness('a', 4)).toBeLessThan(1e-6)
})
