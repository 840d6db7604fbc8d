/** What is refused, with which words, and where it is said to be. */
import { expect, test } from 'vitest'

import { loadOk, loadRefused } from './loading.ts'

test('all problems are reported at once, in the order of the file, with line and column', async () => {
  const yaml = `fleet:
  prob:
    intervalMs: 5s
  nodes:
    - url: http://a:1
    - url: nope
  retry: { retriesMax: 99, enabled: yep }
htp: {}
`
  expect(await loadRefused({ yaml })).toEqual([
    'corral.yaml:2:3: fleet.prob: unknown key; did you mean probe?',
    'corral.yaml:6:12: fleet.nodes[1].url: expected an http or https URL, such as http://10.0.0.5:11434, got "nope"',
    'corral.yaml:7:24: fleet.retry.retriesMax: expected at most 10, got 99',
    'corral.yaml:7:37: fleet.retry.enabled: expected true or false, got "yep"',
    'corral.yaml:8:1: htp: unknown key; did you mean http?',
  ])
})

test.each([
  ['http: { prot: 1 }', 'corral.yaml:1:9: http.prot: unknown key; did you mean port?'],
  ['port: 1', 'corral.yaml:1:1: port: unknown key; did you mean http.port?'],
  ['retry: { enabled: false }', 'corral.yaml:1:1: retry: unknown key; did you mean fleet.retry?'],
  ['zebra: 1', 'corral.yaml:1:1: zebra: unknown key'],
  ['http: { interval_ms: 1 }', 'corral.yaml:1:9: http.interval_ms: unknown key'],
  ['http: { drain_ms: 1 }', 'corral.yaml:1:9: http.drain_ms: unknown key; did you mean drainMs?'],
  [
    'fleet: { probe: { intervalMs: soon } }',
    /corral\.yaml:1:31: fleet\.probe\.intervalMs: expected a duration from 10ms to \d+ms, such as 30s or 5m, got "soon"/,
  ],
  [
    'fleet: { probe: { intervalMs: [1] } }',
    'corral.yaml:1:31: fleet.probe.intervalMs: expected a number or a text with a unit, such as 30s, got [1]',
  ],
  ['fleet: { policy: fastest }', 'corral.yaml:1:18: fleet.policy: expected least-loaded or expected-completion, got "fastest"'],
  ['fleet: { nodes: http://a:1 }', 'corral.yaml:1:17: fleet.nodes: expected a list, got "http://a:1"'],
  ['http: { port: 70000 }', 'corral.yaml:1:15: http.port: expected at most 65535, got 70000'],
  ['http: { port: 1.5 }', 'corral.yaml:1:15: http.port: expected a whole number, got 1.5'],
  ['fleet: { nodes: [{ name: a }] }', 'corral.yaml:1:18: fleet.nodes[0].url: expected a text, got nothing'],
  [
    'fleet: { nodes: [{ url: "ftp://a" }] }',
    'corral.yaml:1:25: fleet.nodes[0].url: expected an http or https URL, such as http://10.0.0.5:11434, got "ftp://a"',
  ],
  [
    'fleet: { deadlines: { idleMsMin: 2m } }',
    'corral.yaml:1:34: fleet.deadlines.idleMsMin: 120000 is over fleet.deadlines.idleMsMax, which is 60000',
  ],
  ['fleet: { numCtx: { policy: fixed } }', 'corral.yaml:1:28: fleet.numCtx.value: needed by the policy "fixed", such as 8192'],
  [
    'fleet: { nodes: [{ url: "http://a:1" }, { url: "http://a:1/" }] }',
    'corral.yaml:1:48: fleet.nodes[1]: the URL is that of fleet.nodes[0] again',
  ],
  [
    'fleet: { nodes: [{ url: "http://a:1", name: x }, { url: "http://b:1", name: x }] }',
    'corral.yaml:1:77: fleet.nodes[1]: the name x is that of fleet.nodes[0] again',
  ],
  [
    'fleet: { aliases: { gpt-4o: llama3, "Llama3:latest": qwen3 } }',
    'corral.yaml:1:29: fleet.aliases.gpt-4o: llama3 is an alias itself; name the model that nodes have',
  ],
  [
    'fleet: { aliases: { gpt-4.1: library/gpt-4.1 } }',
    'corral.yaml:1:30: fleet.aliases["gpt-4.1"]: library/gpt-4.1 is an alias itself; name the model that nodes have',
  ],
  ['- 1', 'corral.yaml:1:1: expected a map of sections such as fleet: and http:'],
  ['http: { port: 1 }\nhttp: {}', /corral\.yaml:2:1: no valid YAML: Map keys must be unique/],
  ['http: [', /corral\.yaml:1:8: no valid YAML: /],
  ['? [a]\n: 1', 'corral.yaml:1:3: a key has to be a plain text'],
] as const)('refuses %s', async (yaml, message) => {
  const problems = await loadRefused({ yaml })
  expect(problems).toEqual([typeof message === 'string' ? message : expect.stringMatching(message)])
})

test('two aliases of one model are accepted', async () => {
  const { config } = await loadOk({ yaml: 'fleet: { aliases: { gpt-4o: llama3, gpt-4: llama3 } }' })
  expect(config.fleet.aliases).toEqual({ 'gpt-4o': 'llama3', 'gpt-4': 'llama3' })
})

test('unknown variables and flags are refused with the nearest name', async () => {
  expect(await loadRefused({ env: { CORRAL_HTTP__PROT: '1' }, flags: { set: ['http.hots=x', 'port=1', 'novalue'] } })).toEqual([
    'env CORRAL_HTTP__PROT: unknown variable; did you mean CORRAL_HTTP__PORT?',
    'flag --set http.hots: unknown key; did you mean http.host?',
    'flag --set port: unknown key; did you mean http.port?',
    'flag --set novalue: expected key=value, such as --set http.port=8080',
  ])
})

test('a value from a variable or a flag is refused at that place', async () => {
  expect(await loadRefused({ env: { CORRAL_FLEET__RETRY__ENABLED: 'maybe' }, flags: { port: 'http' } })).toEqual([
    'env CORRAL_FLEET__RETRY__ENABLED: fleet.retry.enabled: expected true or false, got "maybe"',
    'flag --port: http.port: expected a number, got "http"',
  ])
})

test.each(['0.0.0.0', '::', '192.168.1.4', 'gateway.lan'])('an address that others can reach (%s) needs a decision', async (host) => {
  const [problem, ...more] = await loadRefused({ flags: { host } })
  expect(more).toEqual([])
  expect(problem).toBe(
    `flag --host: http.host: ${host} can be reached from other machines and nobody is asked for a credential: bind 127.0.0.1, ` +
      'or set identity.mode: keys, or pass --insecure-no-auth (http.insecureNoAuth: true) when a firewall or a proxy guards this port',
  )
  expect((await loadOk({ flags: { host, insecureNoAuth: true } })).config.http.host).toBe(host)
  expect((await loadOk({ flags: { host, set: ['identity.mode=keys'] } })).config.http.host).toBe(host)
})

test('asking for credentials needs a store, and tokens need an issuer', async () => {
  expect(await loadRefused({ yaml: 'identity:\n  mode: both\nstore:\n  enabled: false\n' })).toEqual([
    'corral.yaml:2:9: identity.issuers: identity.mode both takes the tokens of these issuers, and there is none',
    'corral.yaml:4:12: store.enabled: needed by identity.mode both, which keeps keys, tenants and the audit log there',
  ])
})

test('a token for the scraper where nobody is asked for one is refused, not left without effect', async () => {
  const [problem] = await loadRefused({ yaml: 'identity:\n  metricsToken: sixteen-characters\n' })
  expect(problem).toMatch(/^corral\.yaml:2:17: identity\.metricsToken: identity\.mode open asks nobody/)
  expect(problem).not.toContain('sixteen-characters')
})

test.each(['127.0.0.1', '127.8.8.8', '::1', 'localhost', '::ffff:127.0.0.1'])('the loopback address %s needs none', async (host) => {
  expect((await loadOk({ flags: { host } })).config.http.host).toBe(host)
})

test('no message shows a credential', async () => {
  const yaml = 'fleet:\n  nodes:\n    - url: ftp://user:hunter2@a\n      headers: { authorization: [hunter2] }\n'
  const problems = await loadRefused({ yaml })
  expect(problems).toHaveLength(2)
  expect(problems.join('\n')).not.toContain('hunter2')
})

test('a key named __proto__ is an unknown key and changes no object', async () => {
  expect(await loadRefused({ yaml: '__proto__: { polluted: true }' })).toEqual(['corral.yaml:1:1: __proto__: unknown key'])
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
})

test('aliases are followed, but not without end', async () => {
  const shared = 'fleet:\n  nodes:\n    - { url: "http://a:1", headers: &h { x-team: t } }\n    - { url: "http://b:1", headers: *h }\n'
  expect((await loadOk({ yaml: shared })).config.fleet.nodes[1]?.headers).toEqual({ 'x-team': 't' })
  const problems = await loadRefused({ yaml: 'fleet: &f\n  aliases: *f\n' })
  expect(problems.join('\n')).toMatch(/nested more than|unknown key/)
})
