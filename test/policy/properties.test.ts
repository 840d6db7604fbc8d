// What holds for any candidates: same choice in any order handed in, everybody ranked once, more trouble never ranks better.

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { policies } from '../../src/fleet/policy/index.ts'
import type { Candidate } from '../../src/fleet/policy/policy.ts'
import { candidate, noRandom, request } from './candidates.ts'

const perToken = fc.option(fc.integer({ min: 1, max: 64 }))
const fields = fc.record({
  inFlight: fc.nat(6),
  slots: fc.constantFrom(1, 2, 4, Number.MAX_SAFE_INTEGER),
  residency: fc.constantFrom('resident', 'loading', 'cold'),
  loadRemainingMs: fc.nat(20_000),
  loaderBacklogMs: fc.nat(20_000),
  lastChosen: fc.nat(4),
  penalty: fc.nat(4),
  pendingMs: fc.nat(60_000),
  loadMs: fc.nat(30_000),
  prefillMsPerToken: perToken,
  decodeMsPerToken: perToken,
  cachedTokens: fc.nat(2_000),
  evictionMs: fc.nat(30_000),
})
const nodes = fc
  .array(fields, { minLength: 1, maxLength: 12 })
  .map((all) => all.map((change, index): Candidate => candidate(`n${index}`, { ...change, nodeInFlight: change.inFlight + (index % 3) })))
const questions = fc.record({ promptTokens: fc.nat(8_000), outputTokens: fc.nat(2_000), queuedAhead: fc.nat(20) })
const shuffled = nodes.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })))

describe.each(Object.entries(policies))('%s', (_, policy) => {
  test('ranks the same in whatever order the candidates come', () => {
    fc.assert(
      fc.property(shuffled, questions, ([all, mixed], question) => {
        const order = policy(all, question, noRandom).map((ranked) => ranked.candidate.node)
        expect(policy(mixed, question, noRandom).map((ranked) => ranked.candidate.node)).toEqual(order)
      }),
    )
  })

  test('ranks every candidate once, by finite cost that never falls', () => {
    fc.assert(
      fc.property(nodes, questions, (all, question) => {
        const ranking = policy(all, question, noRandom)
        expect(new Set(ranking.map((ranked) => ranked.candidate)).size).toBe(all.length)
        for (const [at, { cost }] of ranking.entries()) {
          expect(Number.isFinite(cost)).toBe(true)
          expect(cost).toBeGreaterThanOrEqual(ranking[at - 1]?.cost ?? -Infinity)
        }
      }),
    )
  })

  test('leaves the candidates as they are', () => {
    fc.assert(
      fc.property(nodes, questions, (all, question) => {
        const before = structuredClone(all)
        policy(all, question, noRandom)
        expect(all).toEqual(before)
      }),
    )
  })

  test.each(['inFlight', 'penalty', 'evictionMs'] as const)('never ranks a node better for more %s', (field) => {
    fc.assert(
      fc.property(fc.tuple(fields, nodes), questions, fc.integer({ min: 1, max: 10 }), ([change, others], question, more) => {
        const first: Candidate = candidate('tested', change)
        const rankOf = (tested: Candidate): number =>
          policy([tested, ...others], question, noRandom).findIndex((ranked) => ranked.candidate === tested)
        const extra =
          field === 'inFlight'
            ? { nodeInFlight: first.nodeInFlight + more, pendingMs: first.pendingMs === 0 ? 0 : first.pendingMs + more * 5_000 }
            : {}
        const worse = { ...first, ...extra, [field]: first[field] + more }
        if (field === 'evictionMs' && first.residency !== 'cold') return
        expect(rankOf(worse)).toBeGreaterThanOrEqual(rankOf(first))
      }),
    )
  })

  test('never chooses a node that fails fast while an equal one works', () => {
    fc.assert(
      fc.property(fields, fc.integer({ min: 1, max: 9 }), (change, penalty) => {
        const broken = candidate('a', { ...change, slots: 1, penalty, lastChosen: 0 })
        const sound = candidate('b', { ...change, slots: 1, penalty: 0, lastChosen: 9 })
        expect(policy([broken, sound], request, noRandom)[0]?.candidate.node).toBe('b')
      }),
    )
  })
})
