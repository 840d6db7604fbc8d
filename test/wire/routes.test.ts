/** The routes table against the recorded answers, path cleaning against its POSIX definition. */
import { posix } from 'node:path'

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { dialectOfPath, matchRoute, unknownRouteFor } from '../../src/wire/routes.ts'
import { headerOf, transcripts } from './transcripts.ts'

const pathOf = (target: string): string => decodeURIComponent(target.split('?')[0] ?? '')

describe('recorded paths', () => {
  /** Refused for their headers before any route is looked up. */
  const refusedEarlier = new Set(['032', '033', '036'])
  const plain = transcripts.filter(({ name, request }) => request.headers.origin === undefined && !refusedEarlier.has(name.slice(0, 3)))

  for (const exchange of plain.filter(({ name }) => name < '036')) {
    const { request, response, name } = exchange
    it(`${name} is answered with ${response.status}`, () => {
      const match = matchRoute(request.method, pathOf(request.path))
      switch (match.kind) {
        case 'route':
          expect(response.status).toBe(200)
          break
        case 'method-not-allowed':
          expect([response.status, headerOf(exchange, 'allow')]).toEqual([405, match.allow])
          break
        case 'redirect':
          expect([response.status, headerOf(exchange, 'location')]).toEqual([
            match.status,
            (request.headers['x-forwarded-prefix'] ?? '') + match.location,
          ])
          break
        case 'unknown':
          expect(response.status).toBe(404)
      }
    })
  }

  it('of every other exchange is a known route, unless the answer was a text 404 or a 405', () => {
    for (const { name, request, response } of plain) {
      const { kind } = matchRoute(request.method, pathOf(request.path))
      if (kind === 'route') continue
      expect([301, 307, 404, 405], name).toContain(response.status)
    }
  })

  it('of a stream is a route that streams, in that framing', () => {
    for (const exchange of transcripts) {
      const type = headerOf(exchange, 'content-type')
      const match = matchRoute(exchange.request.method, pathOf(exchange.request.path))
      if (match.kind !== 'route') continue
      if (type.includes('ndjson')) expect(match.facts.framing, exchange.name).toBe('ndjson')
      if (type.includes('event-stream')) expect(match.facts.framing, exchange.name).toBe('sse')
    }
  })

  it('with a zstd body is a route that takes one, or was refused', () => {
    for (const { name, request, response } of transcripts) {
      const match = matchRoute(request.method, pathOf(request.path))
      if (request.headers['content-encoding'] !== 'zstd' || match.kind !== 'route') continue
      expect(match.facts.acceptsZstd, name).toBe(response.status === 200)
    }
  })
})

describe('path cleaning', () => {
  const segment = fc.constantFrom('', '.', '..', 'api', 'tags', 'v1', '...', '.x')
  it('follows POSIX, so that no spelling of a path passes a rule made for another', () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 6 }), (segments) => {
        const path = `/${segments.join('/')}`
        const match = matchRoute('POST', path)
        const clean = posix.normalize(path)
        if (clean === path) expect(match.kind === 'redirect' && match.location === path).toBe(false)
        else expect(match).toEqual({ kind: 'redirect', status: 307, location: clean })
      }),
      { numRuns: 500 },
    )
  })

  it('never leads to another host', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('', '.', '..', 'evil.example', '\\'), { maxLength: 6 }), (segments) => {
        const match = matchRoute('GET', `/${segments.join('/')}`)
        if (match.kind === 'redirect') expect(match.location).toMatch(/^\/(?!\/)/)
      }),
    )
  })
})

describe('parameters', () => {
  it('are one segment', () => {
    expect(matchRoute('GET', '/v1/models/smollm2:135m')).toMatchObject({ kind: 'route', parameter: 'smollm2:135m' })
    expect(matchRoute('HEAD', '/api/blobs/sha256:ab')).toMatchObject({ kind: 'route', parameter: 'sha256:ab' })
    expect(matchRoute('GET', '/v1/models/a/b').kind).toBe('unknown')
    expect(matchRoute('GET', '/v1/models/')).toMatchObject({ kind: 'redirect', location: '/v1/models' })
  })
})

describe('dialects', () => {
  it('follow the path, also of unknown routes', () => {
    expect(dialectOfPath('/v1/messages?beta=true')).toBe('anthropic')
    expect(dialectOfPath('/v1/nope')).toBe('openai')
    expect(dialectOfPath('/api/chat')).toBe('ollama')
    expect(dialectOfPath('/admin/nodes')).toBe('problem')
    expect(unknownRouteFor('/v1/audio/speech')).toMatchObject({ dialect: 'openai', placement: 'relay', framing: 'none' })
    expect(unknownRouteFor('/v1/messages/count_tokens')).toMatchObject({ dialect: 'anthropic', placement: 'relay' })
    expect(unknownRouteFor('/api/nope')).toMatchObject({ dialect: 'ollama', placement: 'relay' })
  })

  it('stream by default only natively', () => {
    for (const path of ['/api/chat', '/api/generate', '/api/pull', '/v1/chat/completions', '/v1/messages', '/api/embed']) {
      const match = matchRoute('POST', path)
      expect(match.kind === 'route' && match.facts.streamsByDefault).toBe(path.startsWith('/api/') && path !== '/api/embed')
    }
  })
})
