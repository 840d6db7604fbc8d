/** Where values come from and which one wins. */
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { originOf, originText } from '../../src/config/assignment.ts'
import type { Path } from '../../src/config/path.ts'
import { shownValues } from '../../src/config/show.ts'
import { createFolder } from './folder.ts'
import { type Given, loadOk, loadRefused } from './loading.ts'

async function portOf(given: Given): Promise<readonly [number, string]> {
  const { config, origins } = await loadOk(given)
  return [config.http.port, originText(originOf(origins, ['http', 'port']))]
}

test('flags win over the environment, the environment over the file, the file over the defaults', async () => {
  const yaml = 'http:\n  port: 2001\n'
  const env = { CORRAL_HTTP__PORT: '2002' }
  expect(await portOf({})).toEqual([11_435, 'default'])
  expect(await portOf({ yaml })).toEqual([2001, 'corral.yaml:2:9'])
  expect(await portOf({ yaml, env })).toEqual([2002, 'env CORRAL_HTTP__PORT'])
  expect(await portOf({ yaml, env, flags: { port: '2003' } })).toEqual([2003, 'flag --port'])
  expect(await portOf({ yaml, env, flags: { port: '2003', set: ['http.port=2004'] } })).toEqual([2004, 'flag --set http.port'])
})

test('the file of --config wins over CORRAL_CONFIG, and that over corral.yaml', async () => {
  const cwd = createFolder({
    'corral.yaml': 'http: { port: 1001 }',
    'b.yaml': 'http: { port: 1002 }',
    'sub/c.yaml': 'http: { port: 1003 }',
  })
  const env = { CORRAL_CONFIG: 'b.yaml' }
  expect(await portOf({ cwd })).toEqual([1001, 'corral.yaml:1:15'])
  expect(await portOf({ cwd, env })).toEqual([1002, 'b.yaml:1:15'])
  expect(await portOf({ cwd, env, flags: { config: 'sub/c.yaml' } })).toEqual([1003, 'sub/c.yaml:1:15'])
})

test('a named file that is missing is a problem', async () => {
  expect(await loadRefused({ flags: { config: 'nowhere.yaml' } })).toEqual([
    expect.stringMatching(/^nowhere\.yaml: cannot read the file: ENOENT/),
  ])
})

test('an empty file, an empty section and comments alone set nothing', async () => {
  for (const yaml of ['', '# nothing\n', 'fleet:\nhttp:\n  # port: 1\n']) expect(await portOf({ yaml })).toEqual([11_435, 'default'])
})

test.each([
  ['CORRAL_FLEET__PROBE__INTERVAL_MS', '250ms', ['fleet', 'probe', 'intervalMs'], 250],
  ['CORRAL_FLEET__PROBE__INTERVALMS', '250', ['fleet', 'probe', 'intervalMs'], 250],
  ['CORRAL_HTTP__ROUTE_HEADERS', 'off', ['http', 'routeHeaders'], false],
  ['CORRAL_HTTP__ORIGINS', 'https://a.test, https://b.test', ['http', 'origins'], ['https://a.test', 'https://b.test']],
  ['CORRAL_FLEET__NUM_CTX__BUCKETS', '[4096, 8192]', ['fleet', 'numCtx', 'buckets'], [4096, 8192]],
  ['CORRAL_FLEET__NUM_CTX__BUCKETS', '4096,8192', ['fleet', 'numCtx', 'buckets'], [4096, 8192]],
  ['CORRAL_FLEET__ALIASES', '{"gpt-3.5":"llama3.2"}', ['fleet', 'aliases'], { 'gpt-3.5': 'llama3.2' }],
  ['CORRAL_FLEET__ALIASES__GPT_4O', 'llama3.3', ['fleet', 'aliases', 'gpt-4o'], 'llama3.3'],
  ['CORRAL_HTTP__BODY_BYTES_MAX', '1MiB', ['http', 'bodyBytesMax'], 1_048_576],
] as const)('%s=%s sets its key', async (...row) => {
  const [name, text, path, value] = row
  const { config, origins } = await loadOk({ env: { [name]: text } })
  expect(config).toHaveProperty([...path], value)
  expect(originText(originOf(origins, path))).toBe(`env ${name}`)
})

test('CORRAL_NODES is the short form of the node list and replaces that of the file', async () => {
  const yaml = 'fleet:\n  nodes:\n    - url: http://file:1\n      name: f\n    - url: http://file:2\n'
  const { config } = await loadOk({ yaml, env: { CORRAL_NODES: 'http://a:1, http://b:2' } })
  expect(config.fleet.nodes).toEqual([
    { url: 'http://a:1', headers: {} },
    { url: 'http://b:2', headers: {} },
  ])
})

test('a variable with an index changes one node of the list and leaves the rest', async () => {
  const yaml = 'fleet:\n  nodes:\n    - url: http://a:1\n      name: one\n    - url: http://b:2\n'
  const env = { CORRAL_FLEET__NODES__1__NAME: 'two', CORRAL_FLEET__NODES__0__HEADERS__X_API_KEY: 'k' }
  const { config, origins } = await loadOk({ yaml, env })
  expect(config.fleet.nodes).toEqual([
    { url: 'http://a:1', name: 'one', headers: { 'x-api-key': 'k' } },
    { url: 'http://b:2', name: 'two', headers: {} },
  ])
  const at = (path: Path) => originText(originOf(origins, path))
  expect(at(['fleet', 'nodes', 0, 'url'])).toBe('corral.yaml:3:12')
  expect(at(['fleet', 'nodes', 1, 'name'])).toBe('env CORRAL_FLEET__NODES__1__NAME')
})

test('--node is repeatable and replaces the list; --set takes quoted keys and indexes', async () => {
  const { config } = await loadOk({
    flags: {
      nodes: ['http://a:1', 'http://b:2'],
      set: ['fleet.nodes[1].slots=8', 'fleet.aliases["gpt-3.5"]=llama3.2', 'fleet.retry.enabled=false'],
    },
  })
  expect(config.fleet.nodes.map(({ url, slots }) => [url, slots])).toEqual([
    ['http://a:1', undefined],
    ['http://b:2', 8],
  ])
  expect(config.fleet.aliases).toEqual({ 'gpt-3.5': 'llama3.2' })
  expect(config.fleet.retry.enabled).toBe(false)
})

test('OLLAMA_HOST and variables of others are not read', async () => {
  const { config, warnings } = await loadOk({ env: { OLLAMA_HOST: '0.0.0.0:9', PORT: '9', HOST: '0.0.0.0' } })
  expect([config.http.host, config.http.port, warnings]).toEqual(['127.0.0.1', 11_435, []])
})

test('variables that a cluster sets for a service called corral are passed over', async () => {
  const env = {
    CORRAL_PORT: 'tcp://10.0.0.1:11435',
    CORRAL_PORT_11435_TCP_ADDR: '10.0.0.1',
    CORRAL_SERVICE_HOST: '10.0.0.1',
    CORRAL_SERVICE_PORT_HTTP: '1',
  }
  expect((await loadOk({ env })).warnings).toEqual([])
})

test('an unknown variable without a path is only warned about', async () => {
  expect((await loadOk({ env: { CORRAL_NODE: 'http://a:1' } })).warnings).toEqual([
    'env CORRAL_NODE: unknown variable; did you mean CORRAL_NODES?',
  ])
})

test('<key>File and ..._FILE read the value from a file, trimmed', async () => {
  const cwd = createFolder({
    'corral.yaml':
      'fleet:\n  nodes:\n    - url: http://a:1\n      headers: { authorizationFile: secret.txt }\n    - url: http://b:2\n      nameFile: name.txt\n',
    'secret.txt': 'Bearer from-file\n',
    'name.txt': ' bee \n',
    'env.txt': 'from-env\n',
  })
  const { config } = await loadOk({ cwd, env: { CORRAL_FLEET__NODES__1__HEADERS__X_API_KEY_FILE: 'env.txt' } })
  expect(config.fleet.nodes).toEqual([
    { url: 'http://a:1', headers: { authorization: 'Bearer from-file' } },
    { url: 'http://b:2', name: 'bee', headers: { 'x-api-key': 'from-env' } },
  ])
})

test('caFile is a key of its own: its file is not read here', async () => {
  const env = { CORRAL_NODES: 'https://a:1', CORRAL_FLEET__NODES__0__CA_FILE: 'ca.pem' }
  expect((await loadOk({ env })).config.fleet.nodes[0]?.caFile).toBe('ca.pem')
})

test('a file that a key refers to and that is missing is a problem of that key', async () => {
  const cwd = createFolder()
  const env = { CORRAL_NODES: 'http://a:1', CORRAL_FLEET__NODES__0__HEADERS__AUTHORIZATION_FILE: join(cwd, 'none') }
  expect(await loadRefused({ cwd, env })).toEqual([
    expect.stringMatching(
      /^env CORRAL_FLEET__NODES__0__HEADERS__AUTHORIZATION_FILE: fleet\.nodes\[0\]\.headers\.authorization: cannot read its file: ENOENT/,
    ),
  ])
})

test('the result is frozen all the way down', async () => {
  const { config } = await loadOk({})
  expect(Object.isFrozen(config) && Object.isFrozen(config.fleet.nodes) && Object.isFrozen(config.fleet.nodes[0]?.headers)).toBe(true)
})

test('OpenTelemetry’s own names are read, and a CORRAL_ name for the same key is stronger', async () => {
  const otel = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
    OTEL_EXPORTER_OTLP_HEADERS: 'Authorization=Basic%20a2V5,x-tenant=a=b',
    OTEL_SERVICE_NAME: 'gateway',
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
  }
  const { config, origins } = await loadOk({ env: { ...otel, CORRAL_OBSERVE__TRACE__SERVICE: 'mine' } })
  expect(config.observe.trace).toMatchObject({
    endpoint: 'http://collector:4318',
    headers: { authorization: 'Basic a2V5', 'x-tenant': 'a=b' },
    service: 'mine',
    sampler: 'parentbased_traceidratio',
    ratio: 0.25,
  })
  expect(originText(originOf(origins, ['observe', 'trace', 'ratio']))).toBe('env OTEL_TRACES_SAMPLER_ARG')
})

test('a sampler, a ratio or a version of the GenAI names that does not exist is refused', async () => {
  expect(await loadRefused({ env: { OTEL_TRACES_SAMPLER: 'sometimes', OTEL_TRACES_SAMPLER_ARG: '2' } })).toEqual([
    expect.stringMatching(/OTEL_TRACES_SAMPLER: observe\.trace\.sampler: expected always_on or .*, got "sometimes"/),
    expect.stringMatching(/OTEL_TRACES_SAMPLER_ARG: observe\.trace\.ratio: expected at most 1, got 2/),
  ])
  expect(await loadRefused({ env: { CORRAL_OBSERVE__TRACE__GEN_AI: '1.40' } })).toEqual([
    expect.stringMatching(/observe\.trace\.genAi: expected off or 1\.41 or latest, got "1\.40"/),
  ])
})

test('a collector’s headers are never shown', async () => {
  const { config, origins } = await loadOk({ env: { OTEL_EXPORTER_OTLP_HEADERS: 'authorization=very-secret' } })
  expect(JSON.stringify(shownValues(config, origins))).not.toContain('very-secret')
})
