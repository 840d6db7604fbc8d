// The console's own list of routes is the server's: none is missing, none is made up, none asks for something else.
import { expect, test } from 'vitest'

import { routeGroups } from '../../src/console/api/own-routes.ts'
import { inventory } from '../identity/route-inventory.ts'

/** Described by themselves, served by the console itself, relayed as they are, or a question without a body that its GET answers. */
const left = /^[A-Z]+ (\/rag\/|\/console|\S*\*)|^HEAD /

test('the API page lists every route with the scope it asks for', () => {
  const listed = routeGroups.flatMap(({ routes }) => routes.map(([route, , scope]) => `${route}: ${scope === 'none' ? 'open' : scope}`))
  expect(listed.toSorted()).toEqual(inventory.filter((line) => !left.test(line)).toSorted())
})
