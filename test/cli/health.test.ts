/** `corral health`, as the health check of a container runs it. */
import { createServer } from 'node:http'

import { describe, expect, test } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { optionsOfCommandLine } from '../../src/cli/health.ts'
import { createFolder } from '../config/folder.ts'
import { corral, start } from './corral.ts'
import { closedUrl, listen } from './ollama.ts'

/** A port that was free a moment ago. */
describe('the gateway is found where', () => {
  test('the flags say', async () => {
    const port = String(await freePort())
    await start(['--port', port, '--node', await closedUrl()]).until(/listening/)
    expect(await corral(['health', '--port', port])).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
  })

  test('the file says', async () => {
    const port = await freePort()
    const cwd = createFolder({ 'corral.yaml': `http: { port: ${port} }\nfleet: { nodes: [{ url: "${await closedUrl()}" }] }\n` })
    await start(['serve'], { cwd }).until(/listening/)
    expect((await corral(['health'], { cwd })).stdout).toBe('ok\n')
  })

  test('the environment says', async () => {
    const env = { CORRAL_HTTP__PORT: String(await freePort()), CORRAL_NODES: await closedUrl() }
    await start(['serve'], { env }).until(/listening/)
    expect((await corral(['health'], { env })).stdout).toBe('ok\n')
  })

  test.runIf(process.platform === 'linux')('the flags of a running process say', async () => {
    const running = start(['serve', '--set', `http.port=${await freePort()}`, '--node', await closedUrl()])
    await running.until(/listening/)
    expect(await corral(['health', '--pid', String(running.child.pid)])).toEqual({ code: 0, stdout: 'ok\n', stderr: '' })
  })
})

describe('what is no healthy gateway', () => {
  test('is exit code 3 where nothing listens', async () => {
    const { code, stdout, stderr } = await corral(['health', '--port', String(await freePort())])
    expect([code, stdout, stderr]).toEqual([3, '', expect.stringMatching(/^corral: no gateway answers at http:.*ECONNREFUSED/)])
  })

  test('is exit code 3 where something else answers', async () => {
    const other = await listen(createServer((_, outgoing) => void outgoing.writeHead(404).end()))
    const { code, stderr } = await corral(['health', '--port', new URL(other).port])
    expect([code, stderr]).toEqual([3, expect.stringContaining('/livez answered 404')])
  })

  test.each([
    [['--pid', 'x'], 2, '--pid: expected the number of a process, got x'],
    [['--pid', '4194999'], 3, '--pid: there is no process 4194999 to be seen'],
    [['--port', '0'], 2, 'http.port is 0'],
  ])('%j is exit code %d', async (args, code, words) => {
    expect(await corral(['health', ...args])).toEqual({ code, stdout: '', stderr: expect.stringContaining(words) })
  })
})

test.each([
  [['node', 'dist/main.js', 'serve', '--host', '0.0.0.0', '--port', '9000'], { host: '0.0.0.0', port: '9000' }],
  [
    ['/sbin/docker-init', '--', 'node', 'dist/main.js', '--set', 'a=b', '--set=c=d', '-c', 'x.yaml'],
    { set: ['a=b', 'c=d'], config: 'x.yaml' },
  ],
  [['/usr/bin/node', '--max-old-space-size=200', '/app/src/main.ts', '--new-flag', 'serve', '--port=1'], { port: '1' }],
  [['/usr/local/bin/corral', 'serve', '--insecure-no-auth'], { insecureNoAuth: true }],
])('the command line %j has the options of the gateway', (words, options) => {
  expect(optionsOfCommandLine(`${words.join('\0')}\0`)).toEqual(options)
})

test('a command line of another program is refused', () => {
  expect(() => optionsOfCommandLine('sleep\x001\x00')).toThrow('that process is no Corral')
})
