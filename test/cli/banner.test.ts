/** What `corral serve` says when it starts, to people. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { storeText } from '../../src/cli/banner.ts'
import { configSchema } from '../../src/config/schema.ts'
import { start } from './corral.ts'
import { closedUrl, startOllama } from './ollama.ts'

test('it names the configuration, the store, the address with its pages, each node, and what to try', async () => {
  const [node, gone] = [await startOllama(), await closedUrl()]
  const running = start(['serve', '--port', '0', '--node', node.url, '--node', gone, '--set', 'observe.log.format=pretty'])
  await running.until(/^try .*$/m)
  const lines = running.stderr.split('\n')
  expect(lines.slice(0, 3)).toEqual([
    expect.stringMatching(/^corral \d+\.\d+\.\d+ {2}node \d+\.\d+\.\d+ {2}config: built-in defaults/),
    'store     none (store.enabled): nothing outlives this process',
    expect.stringMatching(
      /^listening http:\/\/127\.0\.0\.1:\d+ {2}API \/api \/v1 {2}console \/console\/ {2}health \/readyz {2}metrics \/metrics$/,
    ),
  ])
  expect(running.stderr).toMatch(/^nodes .* up {2}0\.12\.3 {2}1 model, 0 loaded$/m)
  expect(running.stderr).toMatch(/ down {2}connection refused$/m)
  expect(running.stderr).toMatch(/^try {7}OLLAMA_HOST=127\.0\.0\.1:\d+ ollama list$/m)
  const [, url = ''] = /listening (\S+)/.exec(running.stderr) ?? []
  expect((await fetch(`${url}/console/`)).headers.get('content-type')).toContain('text/html')
})

test('what is switched off is not named', async () => {
  const node = await startOllama()
  const off = ['--set', 'features.console=false', '--set', 'observe.metrics.enabled=false']
  const running = start(['serve', '--port', '0', '--node', node.url, '--set', 'observe.log.format=pretty', ...off])
  await running.until(/^try .*$/m)
  expect(running.stderr).toMatch(/^listening \S+ {2}API \/api \/v1 {2}health \/readyz$/m)
})

test.each<readonly [sections: object, text: string]>([
  [
    {},
    `embedded (${process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share')}/corral) - set DATABASE_URL for PostgreSQL, REDIS_URL for shared limits`,
  ],
  [
    { store: { dataDir: '/srv/corral' }, redis: { url: 'redis://:pw@cache:6379' } },
    'embedded (/srv/corral), Redis at cache:6379 - set DATABASE_URL for PostgreSQL',
  ],
  [
    { store: { url: 'postgres://corral:pw@db:5432/corral?sslpassword=x' } },
    'PostgreSQL at db:5432/corral - set REDIS_URL for shared limits',
  ],
  [
    { store: { url: 'postgres://corral:pw@db/corral' }, redis: { url: 'rediss://u:pw@cache:6379/2' } },
    'PostgreSQL at db/corral, Redis at cache:6379/2',
  ],
])('the store of %j, without secrets', (sections, text) => {
  expect(storeText(configSchema.parse({ secret: 's'.repeat(32), ...sections }))).toBe(text)
})
