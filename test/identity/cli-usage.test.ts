// Usage and caches by the command line, against a running gateway.
import { expect, test } from 'vitest'

import { corral, serve } from '../cli/corral.ts'
import { startOllama } from '../cli/ollama.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'

test('sums by group and time; caches are counted, and emptied only when it is said', async () => {
  const node = await startOllama()
  const { url } = await serve(['--node', node.url, '--set', `store.dataDir=${await embeddedFolder()}`])
  const at = (...args: string[]) => corral([...args, '--url', url])
  const ask = { model: 'llama3.2:3b', messages: [{ role: 'user', content: 'hello' }], stream: false, options: { temperature: 0, seed: 1 } }
  const chat = await fetch(`${url}/api/chat`, { method: 'POST', body: JSON.stringify(ask) })
  await chat.arrayBuffer()

  // The gateway answers before its store is there.
  await expect.poll(async () => (await fetch(`${url}/admin/usage`)).status, { timeout: 20_000 }).toBe(200)
  const sums = await at('usage', '--by', 'tenant,route', '--from', '1h')
  expect([sums.code, sums.stderr]).toEqual([0, ''])
  expect(sums.stdout).toMatch(/^TENANT +ROUTE +REQUESTS +CACHED +PROMPT +OUTPUT +GPU\nlocal +\/api\/chat +1 +0 /)
  const before = await at('usage', '--to', '2026-01-01', '--json')
  expect(JSON.parse(before.stdout)).toEqual([expect.objectContaining({ requests: 0, group: {} })])
  const none = await at('usage', '--by', 'colour')
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('by')])
  const wrong = await at('usage', '--from', 'yesterday')
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('--from: expected a day')])

  const listed = await at('usage', '--history', '--status', '5xx', '--route', '/api/chat')
  expect([listed.code, listed.stderr]).toEqual([0, ''])
  expect(listed.stdout).toMatch(/^AT +ID +TENANT .*\n20\S+ \S+ +\S+ +local +- +llama3\.2:3b +\/api\/chat +502 +node_protocol /)
  const lines = (await at('usage', '--history', '--json')).stdout.trim().split('\n')
  const entry: { id: string } = JSON.parse(lines[0] ?? '')
  expect([lines.length, entry]).toEqual([1, expect.objectContaining({ route: '/api/chat', status: 502 })])
  const exported = await at('usage', '--history', '--csv')
  expect(exported.stdout).toMatch(/^at,id,tenant,.*\r\n20.*,local,/)
  expect((await at('usage', '--by', 'route', '--csv')).stdout).toMatch(/^route,requests,.*\r\n\/api\/chat,1,/)
  const one = await at('usage', '--request', entry.id)
  expect(one.stdout).toMatch(/\nprompt: not kept \(limits\.usage\.texts\.keep\)\n\nanswer: not kept/)
  expect((await at('usage', '--request', 'nobody')).stderr).toContain('no record of a request nobody')
  expect((await at('usage', '--history', '--status', '2xx', '--csv')).stdout.split('\r\n')).toHaveLength(2)
  for (const flags of [
    ['--route', '/api/chat'],
    ['--history', '--by', 'day'],
    ['--csv', '--json'],
    ['--history', '--limit', '0'],
    ['--key', 'a', '--subject', 'b'],
  ]) {
    expect((await at('usage', ...flags)).code).toBe(2)
  }

  const stats = await at('cache', 'stats')
  expect(stats.stdout).toMatch(/^[a-zA-Z.]+ +\d+$/m)
  const parsed: unknown = JSON.parse((await at('cache', 'stats', '--json')).stdout)
  expect(parsed).toEqual(expect.objectContaining({ flightsUnderWay: 0 }))
  const wide = await at('cache', 'purge')
  expect([wide.code, wide.stderr]).toEqual([2, expect.stringContaining('or say --all')])
  const counted = await at('cache', 'purge', '--all')
  expect([counted.code, counted.stderr]).toEqual([0, expect.stringMatching(/^\d+ entries in memory match; say --yes/)])
  const emptied = await at('cache', 'purge', '--all', '--yes')
  expect(emptied.stderr).toMatch(/^taken out: \d+ entries in memory, 0 answers under way\n$/)

  const script = await corral(['completion', 'bash'])
  expect(script.stdout).toContain("'cache purge') words='")
  expect(script.stdout).toContain("'usage') words='")
})
