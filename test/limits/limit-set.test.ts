// One set of limits wherever they are set: what cannot be counted exactly is refused, and what an older store has of it is read as near as can be.
import { expect, test } from 'vitest'

import { limitSetShape, storedLimitSet } from '../../src/core/limit-set.ts'
import { noLimits } from '../../src/core/principal.ts'
import { limitsOptions } from '../../src/limits/options.ts'
import { identityOptions } from '../../src/identity/options.ts'
import { PlanBook } from '../../src/limits/plan.ts'

const uncountable = [
  [{ requestsPerMinute: 0.5 }, 'expected a whole number from 1 to 100000000'],
  [{ tokensPerMinute: 1e16 }, 'expected a whole number from 1 to 100000000'],
  [{ concurrency: 1.5 }, 'expected a whole number from 1 to 1000000'],
  [{ gpuSecondsPerDay: 1e10 }, 'expected seconds above 0, at most 1000000000'],
] as const

const issuer = (limits: unknown) => ({ issuer: 'https://id.example.net', audience: ['a'], jwksUrl: 'https://id.example.net/k', limits })

test.each(uncountable)('%o is refused by the configuration, of a tenant, a class and the tokens of an issuer', (limits, message) => {
  const modelClass = { name: 'large', models: ['*'], limits }
  for (const refused of [
    limitsOptions.safeParse({ tenant: limits }),
    limitsOptions.safeParse({ modelClasses: [modelClass] }),
    identityOptions.safeParse({ issuers: [issuer({ map: { basic: limits } })] }),
    limitSetShape.safeParse(limits),
  ]) {
    expect(refused.error?.issues.map((issue) => issue.message)).toEqual([message])
  }
})

test('what an older store has of them is read as the nearest that can be counted', () => {
  expect(storedLimitSet.parse({ requestsPerMinute: 0.5, tokensPerMinute: 1e16, concurrency: 1.5, gpuSecondsPerDay: 0.5 })).toEqual({
    ...noLimits,
    requestsPerMinute: 1,
    tokensPerMinute: 100_000_000,
    concurrency: 1,
    gpuSecondsPerDay: 0.5,
  })
})

test.each([
  ['llama3', 'llama3:latest'],
  ['Qwen*', 'qwen3:8b'],
  ['library/mistral:7b', 'mistral:7b'],
  ['registry.ollama.ai/library/phi*', 'phi4:14b'],
  ['Team/Model', 'team/model:latest'],
])('a class that names %s counts %s', (named, model) => {
  const book = new PlanBook(limitsOptions.parse({ modelClasses: [{ name: 'large', models: [named], limits: { concurrency: 1 } }] }))
  expect([book.classOf(model), book.classOf('gemma3:4b')]).toEqual(['large', ''])
})
