// The table of scopes in docs/identity.md says of every route what it asks for, and names no route that is not there.
import { readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { inventory } from './route-inventory.ts'

interface Entry {
  readonly asks: string
  /** Null: any. */
  readonly method: string | null
  readonly path: string
}

const asksOf = new Map([
  ['none', 'open'],
  ['any credential', 'any'],
  ['admin, any tenant', 'admin'],
  ['admin, operator', 'admin, operator'],
])

function entriesOf(document: string): Entry[] {
  const section = document.slice(document.indexOf('## Scopes'), document.indexOf('No credential or a bad one'))
  return section.split('\n').flatMap((line) => {
    const [, scope = '', routes = ''] = line.split('|').map((cell) => cell.trim())
    const name = scope.replaceAll('`', '')
    return [...routes.matchAll(/`(?:([A-Z]+) )?(\/[^`]*)`/g)].map(([, method, path = '']) => ({
      asks: asksOf.get(name) ?? name,
      method: method ?? null,
      path,
    }))
  })
}

/** Whether the entry says anything of this route. */
function covers({ method, path }: Entry, route: { readonly method: string; readonly path: string }): boolean {
  const asGet = route.method === 'HEAD' || route.method === 'ALL' ? 'GET' : route.method
  if (method !== null && method !== asGet) return false
  const plain = (text: string): string => text.replaceAll(/\{\w+\}|:\w+/g, ':x')
  return path.endsWith('…') ? plain(route.path).startsWith(path.slice(0, -1)) : plain(path) === plain(route.path)
}

/** Exact paths before those that stand for everything below, longer ones before shorter ones, with a method before without. */
function narrowness({ path, method }: Entry): number {
  return (path.endsWith('…') ? 0 : 10_000) + 2 * path.length + (method === null ? 0 : 1)
}

test('the table of scopes is that of the routes', () => {
  const entries = entriesOf(readFileSync(new URL('../../docs/identity.md', import.meta.url), 'utf8'))
  const routes = inventory.map((line) => {
    const [, method = '', path = '', asks = ''] = /^(\S+) (\S+): (.*)$/.exec(line) ?? []
    return { method, path, asks }
  })
  const wrong = routes.flatMap((route) => {
    const [said] = entries.filter((entry) => covers(entry, route)).toSorted((a, b) => narrowness(b) - narrowness(a))
    return said?.asks === route.asks ? [] : [`${route.method} ${route.path} asks for ${route.asks}, documented: ${said?.asks ?? 'nothing'}`]
  })
  expect(wrong).toEqual([])
  expect(entries.filter((entry) => !routes.some((route) => covers(entry, route)))).toEqual([])
})
