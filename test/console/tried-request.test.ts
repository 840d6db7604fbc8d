// What is made of a route and of what somebody filled in: the address, the headers, the curl; and which routes ask before they are sent.
import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { routeGroups } from '../../src/console/api/own-routes.ts'
import { quoted } from '../../src/console/api/shell.ts'
import {
  curlOf,
  exampleOf,
  faultOf,
  type Filled,
  headersOf,
  targetOf,
  triedOperation,
  triedOwnRoute,
} from '../../src/console/api/tried-request.ts'
import { operationsOf } from '../../src/console/api/openapi.ts'
import { ownRouteExamples } from '../../src/console/api/own-route-examples.ts'
import { describeApi } from '../../src/http/rag/openapi.ts'

const place = { origin: 'http://gateway', needsKey: true }
const nothing: Filled = { values: {}, kind: null, text: '', file: null }
const routes = routeGroups.flatMap((group) => group.routes)
const described = operationsOf(JSON.parse(JSON.stringify(describeApi())))

test('a name in the path is encoded, and one that is not filled in stays', () => {
  const route = triedOwnRoute('POST /admin/nodes/:name/drain', 'admin, operator')
  expect(targetOf(route, { ...nothing, values: { 'path name': 'a/b c' } })).toBe('/admin/nodes/a%2Fb%20c/drain')
  expect(targetOf(route, nothing)).toBe('/admin/nodes/{name}/drain')
})

test('what is left empty is neither in the query nor among the headers', () => {
  const operation = described.find(({ method, path }) => method === 'DELETE' && path === '/rag/collections/{name}')
  if (operation === undefined) throw new Error('not described')
  const route = triedOperation(operation)
  const filled = { ...nothing, values: { 'path name': 'a', 'query purge': 'true', 'header If-Match': '', 'header Idempotency-Key': 'k' } }
  expect([targetOf(route, filled), headersOf(route, filled)]).toEqual(['/rag/collections/a?purge=true', { 'idempotency-key': 'k' }])
  expect(curlOf(route, filled, place)).toBe(
    `curl -N -X DELETE 'http://gateway/rag/collections/a?purge=true' \\\n  -H "authorization: Bearer $CORRAL_API_KEY" \\\n  -H 'idempotency-key: k'`,
  )
  expect(curlOf(route, filled, { ...place, needsKey: false })).not.toContain('authorization')
})

test('a header that cannot be sent is told before it is tried, and every other one is sent', () => {
  const faultIn = (value: string) => faultOf({ ...nothing, values: { 'header Idempotency-Key': value, 'query q': '€' } })
  expect(faultIn('5 €')).toBe('The header Idempotency-Key holds a character that no header can carry.')
  expect(faultIn('5 £')).toBe(null)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      fc.pre(faultIn(value) === null)
      expect(() => new Headers({ 'idempotency-key': value })).not.toThrow()
    }),
  )
})

test('a shell reads any text as it was', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
      (text) => execFileSync('sh', ['-c', `printf %s ${quoted(text)}`], { encoding: 'utf8' }) === text,
    ),
    { numRuns: 50 },
  )
})

test('everything asks first that does more than read, infer or search', () => {
  const silent = [...routes.map(([route, , scope]) => triedOwnRoute(route, scope)), ...described.map(triedOperation)]
    .filter(({ method, changes }) => method !== 'GET' && !changes)
    .map(({ method, path }) => `${method} ${path}`)
  expect(silent.toSorted()).toEqual([
    'POST /api/chat',
    'POST /api/embed',
    'POST /api/embeddings',
    'POST /api/generate',
    'POST /api/show',
    'POST /rag/chat',
    'POST /rag/search',
    'POST /v1/chat/completions',
    'POST /v1/completions',
    'POST /v1/embeddings',
    'POST /v1/messages',
    'POST /v1/responses',
  ])
})

test('every example is of a route that is listed, and names what is there', () => {
  const listed = new Set(routes.map(([route]) => route))
  expect(Object.keys(ownRouteExamples).filter((route) => !listed.has(route))).toEqual([])
  const known = { talking: ['mine'], embedding: ['vectors'], collections: ['papers'] }
  const exampleFor = (route: string): unknown => {
    const [kind] = triedOwnRoute(route, '').bodies
    return kind === undefined ? null : JSON.parse(exampleOf(kind, known))
  }
  expect(exampleFor('POST /api/generate')).toMatchObject({ model: 'mine' })
  expect(exampleFor('POST /api/embed')).toMatchObject({ model: 'vectors' })
  expect(exampleFor('DELETE /api/delete')).toEqual({ model: 'copy-of-it' })
  const search = described.find(({ path }) => path === '/rag/search')
  const [kind] = search === undefined ? [] : triedOperation(search).bodies
  if (kind === undefined) throw new Error('no body')
  expect([JSON.parse(exampleOf(kind, known)), JSON.parse(exampleOf(kind, { ...known, collections: [] }))]).toMatchObject([
    { collection: 'papers', query: 'days off' },
    { collection: 'handbook' },
  ])
})
