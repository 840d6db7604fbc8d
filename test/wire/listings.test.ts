/** The lists of a node: every recorded one is read, rows of another shape are left out, other bodies are none. */
import { describe, expect, it } from 'vitest'

import { decodeLoaded, decodeTags, decodeVersion } from '../../src/wire/listings.ts'
import { answerOf, transcript, transcripts } from './transcripts.ts'

const lists = (path: string) =>
  transcripts.filter(({ request, response }) => request.path === path && request.method === 'GET' && response.status === 200)

describe('recorded lists', () => {
  it('of models keep every row as it was sent', () => {
    for (const exchange of lists('/api/tags')) {
      const body = answerOf(exchange)
      expect({ models: decodeTags(body)?.map(({ raw }) => raw) }, exchange.name).toEqual(JSON.parse(body.toString()))
    }
    expect(decodeTags(answerOf(transcript('039')))?.map(({ fields }) => fields.name)).toContain('smollm2:135m')
    expect(decodeTags(answerOf(transcript('042')))).toEqual([])
  })

  it('of loaded models keep every row as it was sent', () => {
    for (const exchange of lists('/api/ps')) {
      const body = answerOf(exchange)
      expect({ models: decodeLoaded(body)?.map(({ raw }) => raw) }, exchange.name).toEqual(JSON.parse(body.toString()))
    }
    expect(decodeLoaded(answerOf(transcript('061')))?.[0]?.fields).toMatchObject({ name: 'smollm2:135m', context_length: 2_048 })
  })

  it('of versions are read', () => {
    expect(decodeVersion(answerOf(transcript('003')))).toBe('0.33.0')
  })
})

describe('other bodies', () => {
  it('are no list', () => {
    for (const body of ['', 'null', '[]', '{}', '{"models":5}', '{"models":[1]}', '<html>', '{"models":[']) {
      expect(decodeTags(Buffer.from(body)), body).toBeNull()
      expect(decodeLoaded(Buffer.from(body)), body).toBeNull()
    }
    for (const body of ['', '{}', '{"version":5}', 'Ollama is running']) expect(decodeVersion(Buffer.from(body)), body).toBeNull()
  })

  it('with null for the models are an empty list', () => {
    expect(decodeTags(Buffer.from('{"models":null}'))).toEqual([])
  })

  it('lose only the rows of another shape', () => {
    const rows = decodeTags(Buffer.from('{"models":[{"name":"a"},{"name":""},{"size":1},{"name":"b","size":"x"},{"name":"c","new":[1]}]}'))
    expect(rows?.map(({ fields }) => fields.name)).toEqual(['a', 'c'])
  })
})
