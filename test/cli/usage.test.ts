/** Usage and configuration: exit codes, and what goes to which stream. */
import { createServer } from 'node:net'

import { expect, test } from 'vitest'

import manifest from '../../package.json' with { type: 'json' }
import { createFolder } from '../config/folder.ts'
import { corral } from './corral.ts'
import { portOf } from './ollama.ts'

test('version goes to stdout, alone', async () => {
  expect(await corral(['version'])).toEqual({ code: 0, stdout: `corral ${manifest.version}\n`, stderr: '' })
  expect(JSON.parse((await corral(['version', '--json'])).stdout)).toMatchObject({ corral: manifest.version, node: process.versions.node })
})

test('help goes to stdout and names the exit codes', async () => {
  const { code, stdout } = await corral(['--help'])
  expect(code).toBe(0)
  expect(stdout).toContain(
    'Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 gateway not reachable, 4 credential missing or not allowed, 130 interrupted',
  )
})

test.each([
  [['srve'], 'corral: unknown command srve; did you mean serve?\n'],
  [['frobnicate'], 'corral: unknown command frobnicate; see corral --help\n'],
  [['--prot', '1'], "corral: unknown option '--prot'\n(Did you mean --port?)\n"],
  [['nodes', 'drain'], "corral: missing required argument 'name'\n"],
  [['completion', 'tcsh'], 'corral: no completion for tcsh: bash, zsh or fish\n'],
  [['--port', 'x'], 'corral: flag --port: http.port: expected a number, got "x"\n'],
  [['serve', '--config', 'none.yaml'], expect.stringMatching(/^corral: none\.yaml: cannot read the file: ENOENT.*\n$/)],
])('%j is exit code 2 with one sentence on stderr', async (args, stderr) => {
  expect(await corral(args)).toEqual({ code: 2, stdout: '', stderr })
})

test('a configuration with several problems lists all of them', async () => {
  const cwd = createFolder({ 'corral.yaml': 'http:\n  prot: 1\n  host: 0.0.0.0\nfleet: { policy: best }\n' })
  expect(await corral([], { cwd })).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'corral: the configuration has 2 problems\n  corral.yaml:2:3: http.prot: unknown key; did you mean port?\n' +
      '  corral.yaml:4:18: fleet.policy: expected least-loaded or expected-completion, got "best"\n',
  })
})

test('an address that others can reach is refused with how to go on', async () => {
  const { code, stderr } = await corral(['--host', '0.0.0.0', '--port', '0'])
  expect(code).toBe(2)
  expect(stderr).toMatch(/^corral: flag --host: http\.host: 0\.0\.0\.0 can be reached .* pass --insecure-no-auth .*\n$/)
})

test('a port that is taken is exit code 1 with one sentence', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const port = portOf(server)
  const { code, stdout, stderr } = await corral(['--port', String(port)])
  server.close()
  expect([code, stdout, stderr]).toEqual([
    1,
    '',
    `corral: 127.0.0.1:${port} is in use by another process: stop it, or choose another port with --port\n`,
  ])
})

test('a certificate file that is missing is exit code 2 and named', async () => {
  const { code, stderr } = await corral(['--node', 'https://a.test', '--set', 'fleet.nodes[0].caFile=none.pem', '--port', '0'])
  expect(code).toBe(2)
  expect(stderr).toMatch(/^corral: a file that the configuration names cannot be opened: .*none\.pem/)
})

test('config show prints values with origins and no credential', async () => {
  const env = { CORRAL_NODES: 'http://a:1', CORRAL_FLEET__NODES__0__HEADERS__AUTHORIZATION: 'hunter2' }
  const lines = await corral(['config', 'show', '--origin'], { env })
  expect(lines.code).toBe(0)
  expect(lines.stdout).toMatch(/fleet\.nodes\[0\]\.url +"http:\/\/a:1" +env CORRAL_NODES\n/)
  expect(lines.stdout).toMatch(/headers\.authorization +"\[secret\]" +env CORRAL_FLEET__NODES__0__HEADERS__AUTHORIZATION\n/)
  const outputs = await Promise.all([
    corral(['config', 'show'], { env }),
    corral(['config', 'show', '--json'], { env }),
    corral(['config', 'show', '--origin', '--json'], { env }),
  ])
  for (const { code, stdout } of [lines, ...outputs]) {
    expect(code).toBe(0)
    expect(stdout).not.toContain('hunter2')
  }
})

test('config schema prints the JSON Schema', async () => {
  const { code, stdout } = await corral(['config', 'schema'])
  expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ title: 'Corral configuration' })])
})
