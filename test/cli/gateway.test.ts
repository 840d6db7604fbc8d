/** The commands that ask a gateway, against a gateway of its own process. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { createFolder } from '../config/folder.ts'
import { corral, serve, start } from './corral.ts'
import { closedUrl, listen, startOllama } from './ollama.ts'

test('serves at once, says where, and names the nodes that fail and why', async () => {
  const [up, down] = [(await startOllama()).url, await closedUrl()]
  const { running, url } = await serve([
    '--node',
    up,
    '--node',
    down,
    '--set',
    'observe.log.format=pretty',
    '--set',
    'observe.log.level=error',
  ])
  await running.until(/nodes .*up {2}0\.12\.3 {2}1 model, 0 loaded\n.*down {2}connection refused\n/)
  await running.until(/try +OLLAMA_HOST=127\.0\.0\.1:\d+ ollama list/)
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
  expect(running.stdout).toBe('')
})

test('starts without a reachable node, says so, and recovers', async () => {
  const { running, url } = await serve(['--node', await closedUrl()])
  await running.until(/no node answers: requests get 503 until one does/)
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
  const added = await corral(['nodes', 'add', (await startOllama()).url, '--name', 'late', '--url', url])
  expect([added.code, added.stderr]).toEqual([
    0,
    'added late, it is up; not kept: there is no store, or it is away; write it under fleet.nodes\n',
  ])
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
})

test('nodes are listed, drained, resumed and removed', async () => {
  const [up, down] = [(await startOllama()).url, await closedUrl()]
  const { running, url } = await serve(['--set', `fleet.nodes=[{"url":"${up}","name":"a"},{"url":"${down}","name":"b"}]`])
  await running.until(/node is down/)
  const at = ['--url', url]
  const listed = await corral(['nodes', 'ls', ...at])
  expect([listed.code, listed.stdout]).toEqual([1, expect.stringMatching(/^NODE .*\na +up +0\.12\.3 .*\nb +down .*connection refused\n$/)])
  expect((await corral(['nodes', 'drain', 'a', ...at])).code).toBe(0)
  expect((await corral(['nodes', 'ls', ...at])).stdout).toMatch(/^a +draining/m)
  expect((await corral(['nodes', 'undrain', 'a', ...at, '--json'])).stdout).toBe(
    '{\n  "name": "a",\n  "draining": false,\n  "kept": false\n}\n',
  )
  expect(await corral(['nodes', 'rm', 'b', ...at])).toMatchObject({ code: 0, stdout: '' })
  expect((await corral(['nodes', 'ls', ...at])).code).toBe(0)
  const unknown = await corral(['nodes', 'drain', 'zebra', ...at])
  expect([unknown.code, unknown.stderr]).toEqual([1, 'corral: no node named zebra; there are: a\n  "corral nodes ls" lists the names\n'])
  const bad = await corral(['nodes', 'add', 'ftp://x', ...at])
  expect([bad.code, bad.stdout]).toEqual([1, ''])
})

test('capabilities are listed, switched and reset', async () => {
  const { running, url } = await serve(['--node', (await startOllama()).url, '--set', 'store.enabled=false'])
  await running.until(/listening/)
  const at = ['--url', url]
  expect((await corral(['features', 'ls', ...at])).stdout).toMatch(/^retry +on +default +\S/m)
  const off = await corral(['features', 'off', 'retry', ...at])
  expect([off.code, off.stdout]).toEqual([0, expect.stringMatching(/^retry is off \(switched at run time by .*\); it is not kept, .*\n$/)])
  expect((await corral(['features', 'ls', ...at])).stdout).toMatch(/^retry +off +switched at run time by /m)
  expect((await corral(['features', 'reset', 'retry', ...at])).stdout).toBe('retry is on (default)\n')
  const fixed = await corral(['features', 'off', 'store', ...at])
  expect([fixed.code, fixed.stderr]).toEqual([1, expect.stringContaining('needs a restart: set store.enabled in the configuration')])
})

test('models are listed with their nodes and pulled with progress', async () => {
  const { running, url } = await serve(['--node', (await startOllama()).url, '--set', 'fleet.aliases={"gpt-4o":"llama3.2"}'])
  await running.until(/listening/)
  const at = ['--url', url]
  const listed = /^gpt-4o +4\.7 GB +- +-\nllama3\.2:latest +4\.7 GB +1 +-\n$/m
  await expect.poll(async () => (await corral(['models', 'ls', ...at])).stdout).toMatch(listed)
  const pulled = await corral(['models', 'pull', 'llama3.2', ...at])
  expect([pulled.code, pulled.stdout]).toEqual([0, ''])
  expect(pulled.stderr).toMatch(/^pulling manifest\n(.*\n)*pulled llama3\.2\n$/)
})

test('a pull that fails is 1 and says why', async () => {
  const node = await startOllama({ pull: [{ status: 'pulling manifest' }, { error: 'pull model manifest: file does not exist' }] })
  const { running, url } = await serve(['--node', node.url])
  await running.until(/listening/)
  await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(200)
  const { code, stderr } = await corral(['models', 'pull', 'nope', '--url', url])
  expect([code, stderr]).toEqual([1, expect.stringContaining('file does not exist')])
})

test('a pull that fails on some nodes only is 1 and names them', async () => {
  const [good, bad] = [await startOllama(), await startOllama({ pull: [{ error: 'disk full' }] })]
  const { running, url } = await serve(['--set', `fleet.nodes=[{"url":"${good.url}","name":"a"},{"url":"${bad.url}","name":"b"}]`])
  await running.until(/listening/)
  await expect.poll(async () => (await fetch(`${url}/api/tags`)).text()).toContain('llama3.2')
  await expect.poll(async () => (await corral(['nodes', 'ls', '--url', url])).code).toBe(0)
  const { code, stderr } = await corral(['models', 'pull', 'm', '--url', url])
  expect([code, stderr]).toEqual([1, expect.stringMatching(/corral: pull of m: failed on b: disk full \(done on a\)\n$/)])
})

test('top prints one snapshot without a terminal', async () => {
  const { running, url } = await serve(['--node', (await startOllama()).url])
  await running.until(/listening/)
  await expect
    .poll(async () => (await corral(['top', '--url', url])).stdout)
    .toMatch(/^corral top {2}http.* nodes 1\/1 up .*\n\nNODE +STATE/)
  expect(JSON.parse((await corral(['top', '--url', url, '--json'])).stdout)).toMatchObject({ nodes: [{ up: true }] })
})

test('no gateway is exit code 3 and says what to do', async () => {
  const url = await closedUrl()
  for (const args of [['nodes', 'ls'], ['models', 'ls'], ['models', 'pull', 'm'], ['top']]) {
    const { code, stdout, stderr } = await corral([...args, '--url', url])
    expect([code, stdout, stderr]).toEqual([
      3,
      '',
      expect.stringMatching(/^corral: no gateway answers at http:.*ECONNREFUSED.*"corral serve"/),
    ])
  }
})

test.each([
  ['a right that the key does not have', 4, { 'content-type': 'application/problem+json' }, { code: 'insufficient_scope' }],
  ['the same in Ollama’s shape', 4, { 'www-authenticate': 'Bearer realm="corral", error="insufficient_scope"' }, { error: 'no' }],
  ['what is switched off for everybody', 1, { 'content-type': 'application/problem+json' }, { code: 'operation_disabled' }],
  ['the same in Ollama’s shape', 1, {}, { error: 'model operations are switched off' }],
] as const)('a 403 for %s is exit code %i', async (_, code, headers, body) => {
  const url = await listen(createServer((_request, outgoing) => outgoing.writeHead(403, headers).end(JSON.stringify(body))))
  expect((await corral(['nodes', 'ls', '--url', url])).code).toBe(code)
})

test('something else than a gateway at the URL is said so', async () => {
  const other = await listen(createServer((_, outgoing) => void outgoing.writeHead(404).end('no')))
  const { code, stderr } = await corral(['nodes', 'ls', '--url', other])
  expect([code, stderr]).toEqual([1, expect.stringContaining('this is no Corral gateway, or features.admin is off')])
})

test('a signal says how long new connections are still served', async () => {
  const { running, url } = await serve(['--node', await closedUrl(), '--set', 'http.drainDelayMs=300ms'])
  running.child.kill('SIGTERM')
  await running.until(/SIGTERM: not ready any more, no new requests in 300ms, running ones have 30\.0s to end/)
  expect((await fetch(`${url}/livez`)).headers.get('connection')).toBe('close')
  expect((await running.ended).code).toBe(0)
})

test('a signal drains and ends with 0; a second one ends at once with 130', async () => {
  const { running } = await serve(['--node', await closedUrl()])
  running.child.kill('SIGTERM')
  expect(await running.ended).toMatchObject({ code: 0, stderr: expect.stringContaining('SIGTERM: no new requests') })

  const { url, running: busy } = await serve(['--node', (await startOllama()).url])
  await expect.poll(async () => (await fetch(`${url}/api/tags`)).text()).toContain('llama3.2')
  const waiting = fetch(`${url}/api/generate`, { method: 'POST', body: '{"model":"llama3.2","prompt":"x"}' }).catch(() => null)
  await expect.poll(async () => (await fetch(`${url}/admin/requests`)).text()).toContain('/api/generate')
  busy.child.kill('SIGINT')
  await busy.until(/SIGINT: no new requests, running ones have 30\.0s to end; once more to stop at once/)
  busy.child.kill('SIGINT')
  expect((await busy.ended).code).toBe(130)
  await waiting
})

test('SIGHUP applies a valid file, keeps the old one otherwise and says what needs a restart', async () => {
  const first = await startOllama()
  const second = await startOllama()
  const yaml = (text: string): void => writeFileSync(join(cwd, 'corral.yaml'), text)
  const cwd = createFolder({ 'corral.yaml': `fleet: { nodes: [{ url: "${first.url}", name: one }] }\n` })
  const { running, url } = await serve([], { cwd })
  const names = async (): Promise<unknown> => JSON.parse((await corral(['nodes', 'ls', '--json', '--url', url])).stdout)
  expect(await names()).toMatchObject([{ name: 'one' }])

  yaml(`fleet: { nodes: [{ url: "${second.url}", name: two }] }\nhttp: { headerBytesMax: 32KiB }\n`)
  running.child.kill('SIGHUP')
  await running.until(/configuration reloaded, changed: /)
  await running.until(/takes effect after a restart only: http\.headerBytesMax/)
  expect(await names()).toMatchObject([{ name: 'two' }])

  yaml('fleet: { nods: [] }\nhttp: { drainMs: x }\n')
  running.child.kill('SIGHUP')
  await running.until(/corral\.yaml:1:10: fleet\.nods: unknown key; did you mean nodes\?/)
  await running.until(/corral\.yaml:2:18: http\.drainMs: expected a duration/)
  expect(await names()).toMatchObject([{ name: 'two' }])
})

test('SIGHUP switches what is said on stderr with the log level', async () => {
  const yaml = (level: string): void => writeFileSync(join(cwd, 'corral.yaml'), `observe: { log: { level: ${level} } }\n`)
  const cwd = createFolder({})
  yaml('info')
  const { running, url } = await serve(['--node', await closedUrl()], { cwd })
  await running.until(/no node answers/)
  const scrape = async (): Promise<string> => (await fetch(`${url}/metrics`)).text()
  const takenAt = async (): Promise<string | undefined> => /^corral_config_last_reload_timestamp_seconds (.*)$/m.exec(await scrape())?.[1]
  const before = await takenAt()
  yaml('silent')
  running.child.kill('SIGHUP')
  await expect.poll(takenAt).not.toBe(before)
  expect(running.stderr).not.toContain('configuration reloaded')

  yaml('warn')
  running.child.kill('SIGHUP')
  await running.until(/configuration reloaded, changed: observe\.log\.level/)
})

test('SIGHUP with a file that cannot be opened keeps all of the old configuration; the log is opened anew all the same', async () => {
  const { url: node } = await startOllama()
  const yaml = (text: string): void => writeFileSync(join(cwd, 'corral.yaml'), `observe: { log: { file: corral.log } }\n${text}`)
  const cwd = createFolder({})
  yaml(`fleet: { nodes: [{ url: "${node}", name: one }] }\n`)
  const { running, url } = await serve([], { cwd })
  renameSync(join(cwd, 'corral.log'), join(cwd, 'corral.log.1'))

  yaml(`fleet: { nodes: [{ url: "${node}", name: two, caFile: none.pem }] }\nfeatures: { modelOperations: false }\n`)
  running.child.kill('SIGHUP')
  const log = (): string => (existsSync(join(cwd, 'corral.log')) ? readFileSync(join(cwd, 'corral.log'), 'utf8') : '')
  await expect.poll(log).toMatch(/configuration refused.*none\.pem|none\.pem.*configuration refused/)
  const nodes: unknown = JSON.parse((await corral(['nodes', 'ls', '--json', '--url', url])).stdout)
  expect(nodes).toMatchObject([{ name: 'one' }])
  const copied = await fetch(`${url}/api/copy`, { method: 'POST', body: '{"source":"llama3.2","destination":"x"}' })
  expect(await copied.text()).not.toContain('features.modelOperations')
  running.child.kill('SIGTERM')
  await running.ended
})

test('a reader that closes the pipe early ends the command quietly', async () => {
  const running = start(['config', 'schema'])
  running.child.stdout?.destroy()
  expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
})
