/** Spellings of one model are one name; other models stay apart. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { canonicalModelName, isCloudModel } from '../../src/wire/model-name.ts'
import { collect } from '../support/collect.ts'
import { transcript } from './transcripts.ts'

describe('one model', () => {
  const spellings = [
    'smollm2',
    'smollm2:latest',
    'SmolLM2',
    ' smollm2 ',
    'library/smollm2',
    'library/smollm2:latest',
    'registry.ollama.ai/library/smollm2',
    'REGISTRY.ollama.ai/Library/SMOLLM2:Latest',
    'smollm2:local',
    'smollm2:latest:local',
  ]
  for (const name of spellings) {
    it(`"${name}" is smollm2:latest`, () => {
      expect(canonicalModelName(name)).toBe('smollm2:latest')
    })
  }

  it('was answered under every recorded spelling', () => {
    for (const number of ['129', '130', '132', '133']) {
      const { request, response } = transcript(number)
      const name = /"model":"([^"]*)"/.exec(request.bodyText ?? '')?.[1] ?? ''
      expect(response.status, name).toBe(200)
      expect(canonicalModelName(name), name).toBe('smollm2:135m')
    }
  })

  it('was not found without its tag', () => {
    expect(transcript('131').response.status).toBe(404)
    expect(canonicalModelName('smollm2')).not.toBe(canonicalModelName('smollm2:135m'))
  })
})

describe('other models', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['user/model', 'user/model:latest'],
    ['registry.ollama.ai/user/model', 'user/model:latest'],
    ['hf.co/user/model:Q4_K_M', 'hf.co/user/model:q4_k_m'],
    ['localhost:5000/library/m', 'localhost:5000/library/m:latest'],
    ['localhost:5000/library/m:v1', 'localhost:5000/library/m:v1'],
    ['mylibrary/m', 'mylibrary/m:latest'],
  ]
  for (const [name, canonical] of cases) {
    it(`"${name}" is ${canonical}`, () => {
      expect(canonicalModelName(name)).toBe(canonical)
    })
  }

  it('have a name that stays what it is when asked again', () => {
    const name = fc
      .array(fc.constantFrom('a', 'B', ':', '/', 'library/', 'registry.ollama.ai/', ':local', ' ', '.'), { maxLength: 6 })
      .map((parts) => parts.join(''))
    fc.assert(fc.property(name, (text) => canonicalModelName(text) === canonicalModelName(text)))
    const proper = fc.tuple(
      fc.constantFrom('', 'user/', 'host.example/user/', 'library/'),
      fc.stringMatching(/^[a-z0-9_-]{1,8}$/),
      fc.constantFrom('', ':v1', ':Latest'),
    )
    fc.assert(
      fc.property(proper, ([prefix, model, tag]) => {
        const canonical = canonicalModelName(`${prefix}${model}${tag}`)
        expect(canonicalModelName(canonical)).toBe(canonical)
        expect(canonical).toMatch(/:[^/:]+$/)
      }),
    )
  })

  it('in any number stay right', () => {
    for (let index = 0; index < 10_000; index += 1) canonicalModelName(`m${index}`)
    expect(canonicalModelName('M9999')).toBe('m9999:latest')
  })
})

describe('cloud models', () => {
  for (const name of ['gpt-oss:20b-cloud', 'x:cloud', 'X:CLOUD', 'user/x:120B-Cloud', 'x:local:cloud', ' x:cloud ']) {
    it(`"${name}" runs elsewhere`, () => expect(isCloudModel(name)).toBe(true))
  }
  for (const name of ['cloud', 'cloud/x:1b', 'x:cloudy', 'x:mycloud', 'x-cloud:latest', 'cloud-x', 'host:cloud/x:1b', '']) {
    it(`"${name}" runs here`, () => expect(isCloudModel(name)).toBe(false))
  }
})

describe('long names', () => {
  it('are read like others and not kept', () => {
    collect()
    const before = process.memoryUsage().heapUsed
    for (let index = 0; index < 40; index += 1) {
      const name = `${index}${'A'.repeat(4_000_000)}`
      expect(canonicalModelName(name).length).toBe(name.length + ':latest'.length)
    }
    collect()
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50_000_000)
  })
})
