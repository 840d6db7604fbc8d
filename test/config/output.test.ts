/** What is shown and committed: masked values with origins, the manual, the JSON Schema. */
import { readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { applyAssignments } from '../../src/config/assignment.ts'
import { readYaml } from '../../src/config/file-source.ts'
import { configJsonSchema } from '../../src/config/json-schema.ts'
import { leafPaths, shapeAt } from '../../src/config/key-tree.ts'
import { parsePath, pathText } from '../../src/config/path.ts'
import { configSchema, featureKeys, restartKeys } from '../../src/config/schema.ts'
import { masked, shownValues } from '../../src/config/show.ts'
import { loadOk } from './loading.ts'

const manualFile = new URL('../../config/default.yaml', import.meta.url)

test('every value is shown with its origin, headers and credentials in URLs masked', async () => {
  const yaml = 'fleet:\n  nodes:\n    - url: http://user:hunter2@a:1\n      headers: { authorization: Bearer hunter2 }\n'
  const { config, origins } = await loadOk({ yaml })
  const values = shownValues(config, origins)
  expect(values.slice(0, 3)).toEqual([
    { key: 'fleet.nodes[0].url', value: 'http://[secret]@a:1', origin: 'corral.yaml:3:12' },
    { key: 'fleet.nodes[0].headers.authorization', value: '[secret]', origin: 'corral.yaml:4:33' },
    { key: 'fleet.aliases', value: {}, origin: 'default' },
  ])
  expect(JSON.stringify([values, masked(config)])).not.toContain('hunter2')
})

test('any key named like a credential is masked', () => {
  const secret = { apiKey: 'a', adminPassword: 'b', token: 'c', sessionSecret: 'd', tokensMax: 5 }
  expect(masked(secret)).toEqual({
    apiKey: '[secret]',
    adminPassword: '[secret]',
    token: '[secret]',
    sessionSecret: '[secret]',
    tokensMax: 5,
  })
})

test('config/default.yaml holds every key with its default value and no other', () => {
  const { assignments, problems } = readYaml(readFileSync(manualFile, 'utf8'), 'config/default.yaml')
  expect(problems).toEqual([])
  const { tree } = applyAssignments(assignments)
  expect(configSchema.parse(tree)).toEqual(configSchema.parse({}))
  const text = readFileSync(manualFile, 'utf8')
  const written = new Set(assignments.map(({ path }) => pathText(path)))
  // A key without a default stands there as a comment.
  const isThere = (path: readonly (string | number)[]): boolean =>
    written.has(pathText(path)) || new RegExp(`^ *# ${String(path[path.length - 1])}: `, 'm').test(text)
  expect(
    leafPaths()
      .filter((path) => !isThere(path))
      .map(pathText),
  ).toEqual([])
})

test('every key of the manual has a comment above it or shares the one of its neighbour', () => {
  const lines = readFileSync(manualFile, 'utf8').split('\n')
  const bare = lines.filter((line, index) => {
    const isKey = /^ +[a-z]\w*: \S/.test(line)
    const above = lines[index - 1]?.trim() ?? ''
    const isExplained = above.startsWith('#') || /^[a-z]\w*:/.test(above) || line.trim() === 'headers: {}'
    return isKey && !isExplained
  })
  expect(bare).toEqual([])
})

test('config/schema.json is what the schema gives today', () => {
  const committed: unknown = JSON.parse(readFileSync(new URL('../../config/schema.json', import.meta.url), 'utf8'))
  expect(committed).toEqual(JSON.parse(JSON.stringify(configJsonSchema())))
})

test('feature keys and restart keys exist, features are booleans', () => {
  for (const key of Object.values(featureKeys)) expect([key, shapeAt(parsePath(key) ?? [])?.kind]).toEqual([key, 'boolean'])
  for (const key of restartKeys) expect([key, shapeAt(parsePath(key) ?? []) === null]).toEqual([key, false])
})
