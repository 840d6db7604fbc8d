// Every route that a gateway has stands in docs/api.md, docs/rag-api.md or the description of /rag, with its method where the path alone does not tell.
import { expect, test } from 'vitest'

import { describeApi } from '../../src/http/rag/openapi.ts'
import { inventory } from '../identity/route-inventory.ts'
import { readSource } from '../source-tree.ts'

/** Routes for what has no other, which are told of as such. */
const catchAll = /^(?:ALL \/(?:admin|rag)\/\*|\w+ \/(?:api|v1)\/\*)$/

/** With one name for all parameters, as `/admin/keys/{}`. */
const shapeOf = (path: string): string => path.replaceAll(/\{[^}]*\}|:\w+/g, '{}').replaceAll(/…|\*/g, '*')

/** Code of a page: a path, or a method with one. */
function codesOf(page: string): string[] {
  const spans = [...readSource(page).matchAll(/`((?:[A-Z]+ )?\/[^`\s[?]*)/g)].map(([, code = '']) => shapeOf(code))
  return spans
}

const described: { readonly paths: Readonly<Record<string, object>> } = JSON.parse(JSON.stringify(describeApi()))
const ofRag = Object.entries(described.paths).flatMap(([path, methods]) =>
  Object.keys(methods).map((method) => `${method.toUpperCase()} ${shapeOf(path)}`),
)
const known = new Set([...codesOf('docs/api.md'), ...codesOf('docs/rag-api.md'), ...ofRag])

/** A path of ours needs its method; what Ollama has is told of by its path. */
function stands(route: string): boolean {
  const [method = '', path = ''] = route.split(' ')
  const isOurs = /^\/(?:admin|rag|console)\/\w/.test(path)
  return known.has(`${method} ${shapeOf(path)}`) || (!isOurs && known.has(shapeOf(path)))
}

test('every route of the inventory is documented', () => {
  const routes = inventory.map((line) => line.replace(/: .*$/, '')).filter((route) => !catchAll.test(route))
  expect(routes.length).toBeGreaterThan(80)
  expect(routes.filter((route) => !stands(route))).toEqual([])
})

test('a route that nobody documented is seen', () => {
  expect(['GET /admin/nothing', 'POST /admin/fleet', 'GET /v1/nothing'].map(stands)).toEqual([false, false, false])
})
