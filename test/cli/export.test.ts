/** `corral export`: the files of the package, as a shell gets them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { createFolder } from '../config/folder.ts'
import { listFiles, readSource } from '../source-tree.ts'
import { corral } from './corral.ts'

test('compose writes the file and all that it mounts', async () => {
  const folder = createFolder()
  const { code, stderr } = await corral(['export', 'compose', folder])
  expect([code, stderr]).toEqual([0, expect.stringContaining(`docker compose -f ${join(folder, 'compose.yaml')} up -d`)])
  const text = readFileSync(join(folder, 'compose.yaml'), 'utf8')
  expect(text).toBe(readSource('deploy/compose.yaml').replaceAll('- ../', '- ./'))
  const mounted = [...text.matchAll(/- (\.[^:]+):/g)].map(([, file]) => file ?? '')
  expect(mounted.length).toBeGreaterThan(4)
  expect(mounted.filter((file) => !existsSync(join(folder, file)))).toEqual([])
  expect(readFileSync(join(folder, 'prometheus/alerts.yaml'), 'utf8')).toBe(readSource('prometheus/alerts.yaml'))
  expect(readdirSync(join(folder, 'grafana/dashboards'))).toHaveLength(listFiles('grafana/dashboards', '.json').length)
  expect((await corral(['export', 'compose', folder])).stderr).toContain('is there already')
})

test('helm writes the chart', async () => {
  const folder = createFolder()
  expect((await corral(['export', 'helm', folder])).code).toBe(0)
  expect(readFileSync(join(folder, 'corral/values.yaml'), 'utf8')).toBe(readSource('deploy/helm/corral/values.yaml'))
  expect(existsSync(join(folder, 'corral/templates/tests/ready.yaml'))).toBe(true)
})

test('helm brings what its values may switch on', async () => {
  const folder = createFolder()
  expect((await corral(['export', 'helm', folder])).code).toBe(0)
  expect(readFileSync(join(folder, 'corral/files/alerts.yaml'), 'utf8')).toBe(readSource('prometheus/alerts.yaml'))
  expect(readdirSync(join(folder, 'corral/files/dashboards'))).toHaveLength(listFiles('grafana/dashboards', '.json').length)
})

test('dashboards writes a file each, for the promise that is asked for', async () => {
  const folder = createFolder()
  expect((await corral(['export', 'dashboards', folder])).code).toBe(0)
  expect(readFileSync(join(folder, 'corral-fleet.json'), 'utf8')).toBe(readSource('grafana/dashboards/corral-fleet.json'))
  expect((await corral(['export', 'dashboards', folder])).stderr).toContain('is there already')
  const other = createFolder()
  expect((await corral(['export', 'dashboards', other, '--availability', '0.99'])).code).toBe(0)
  expect(readFileSync(join(other, 'corral-overview.json'), 'utf8')).toContain('Promised: 0.99.')
})

test('alerts prints the rule file, for the promise that is asked for', async () => {
  expect((await corral(['export', 'alerts'])).stdout).toBe(readSource('prometheus/alerts.yaml'))
  const { stdout } = await corral([
    'export',
    'alerts',
    '--availability',
    '0.99',
    '--first-token-seconds',
    '5',
    '--runbooks',
    'https://wiki',
  ])
  expect(stdout).toContain('> 0.144 ')
  expect(stdout).toContain('le="5"')
  expect(stdout).toContain('https://wiki/CorralDown.md')
})

test.for([
  ['--availability', '99.9', 'a share between 0 and 1'],
  ['--first-token-seconds', '3', 'choose one of'],
])('alerts refuses %s %s', async ([flag = '', value = '', words = '']) => {
  const { code, stderr } = await corral(['export', 'alerts', flag, value])
  expect([code, stderr]).toEqual([2, expect.stringContaining(words)])
})

test('systemd writes the unit', async () => {
  const folder = createFolder()
  expect((await corral(['export', 'systemd', folder])).code).toBe(0)
  expect(readFileSync(join(folder, 'corral.service'), 'utf8')).toBe(readSource('deploy/systemd/corral.service'))
})

test('openapi prints what /rag/openapi.json says', async () => {
  const { code, stdout } = await corral(['export', 'openapi'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ openapi: expect.stringMatching(/^3\.1/), paths: { '/rag/search': expect.anything() } })
})

test('what is there already is left alone', async () => {
  const folder = createFolder({ 'compose.yaml': 'mine' })
  const { code, stderr } = await corral(['export', 'compose', folder])
  expect([code, stderr]).toEqual([1, expect.stringContaining('is there already')])
  expect(existsSync(join(folder, 'compose'))).toBe(false)
  expect(readFileSync(join(folder, 'compose.yaml'), 'utf8')).toBe('mine')
})
