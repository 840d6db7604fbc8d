/** Screens, bars and completion as pure functions of what they show. */
import { execFileSync } from 'node:child_process'

import { expect, test } from 'vitest'

import { urlOf } from '../../src/cli/banner.ts'
import type { CommandTree } from '../../src/cli/completion.ts'
import { completionScript } from '../../src/cli/completion.ts'
import type { FleetView, NodeView } from '../../src/cli/fleet-view.ts'
import { nodeState } from '../../src/cli/fleet-view.ts'
import { wordsOf } from '../../src/cli/gateway.ts'
import { nodesNotes } from '../../src/cli/nodes.ts'
import { printable, table, widthOf } from '../../src/cli/output.ts'
import { barText, createPullProgress } from '../../src/cli/pull-progress.ts'
import { topLines } from '../../src/cli/top-view.ts'

const plain = (_: string, text: string): string => text
const coloured = (_: string, text: string): string => `\u001b[32m${text}\u001b[39m`

const node: NodeView = {
  name: 'a',
  url: 'http://a:1',
  up: true,
  downReason: null,
  version: '0.12.3',
  draining: false,
  breaker: 'closed',
  lastSeenAgoMs: 40,
  inFlight: 3,
  models: ['m:latest'],
  loaded: [{ model: 'm:latest', vramBytes: 5.2e9, contextLength: 4096, expiresAt: null }],
  runners: [{ model: 'm:latest', inFlight: 3, slots: 4, resident: true, loading: null, decodeMsPerToken: 20 }],
}

const fleet: FleetView = {
  nodes: [node, { ...node, name: 'b', up: false, downReason: 'connection refused', loaded: [], runners: [], inFlight: 0 }],
  pools: [{ model: 'm:latest', queued: 7, queueMax: 512, slots: 4, etaMs: 2_500 }],
  drift: [{ model: 'm:latest', digests: { x: ['a'], y: ['b'] } }],
  activeAttempts: 3,
  changedByHand: [
    { name: 'b', kind: 'drained' },
    { name: 'c', kind: 'removed' },
  ],
  coverage: { silent: 0, redisAway: false },
}

test('the list of nodes says what it does not show', () => {
  const removed = 'taken out by hand: c; "corral nodes add URL" brings one back'
  expect(nodesNotes(fleet)).toEqual([removed])
  expect(nodesNotes({ ...fleet, coverage: { silent: 0, redisAway: true } })).toEqual([
    removed,
    'Redis is away: this is what one replica sees',
  ])
  expect(nodesNotes({ ...fleet, changedByHand: [], coverage: { silent: 1, redisAway: false } })).toEqual([
    "1 of the gateway's processes did not answer in time, and stay out of it",
  ])
})

test('top shows nodes, load, speed, waiting requests and drift', () => {
  expect(topLines({ fleet, url: 'http://g', stale: null, columns: 120, rows: 40 }, plain)).toEqual([
    'corral top  http://g  nodes 1/2 up  running 3  waiting 7',
    '',
    'NODE  STATE  VERSION  RUNNING         TOK/S  MODELS IN MEMORY',
    'a     up     0.12.3   ||||||||.. 3/4  150    m:latest 5.2G',
    'b     down   0.12.3   0               -      connection refused',
    '',
    'MODEL     WAITING  SLOTS  NEXT IN',
    'm:latest  7/512    4      2.5s',
    '',
    'drift: m:latest differs between a and b',
  ])
})

test('top fits the terminal, colours and all, and marks a state that is old', () => {
  const lines = topLines({ fleet, url: 'http://g', stale: 'gone', columns: 30, rows: 4 }, coloured)
  expect(lines).toHaveLength(4)
  expect(lines.every((line) => widthOf(line) <= 30)).toBe(true)
  expect(lines[1]).toContain('not answering')
})

test('the state of a node is what an operator acts on first', () => {
  const state = (change: Partial<NodeView>) => nodeState({ ...node, ...change })
  expect([
    state({}),
    state({ up: null }),
    state({ up: false, draining: true }),
    state({ draining: true }),
    state({ breaker: 'open' }),
    state({ breaker: 'half_open' }),
  ]).toEqual(['up', 'unknown', 'down', 'draining', 'ejected', 'probation'])
})

test('a bar grows with its share and never passes the width', () => {
  expect(barText({ status: 'pulling', total: 200e6, completed: 50e6 }, 80)).toBe('[######------------------]  25 %  50/200 MB  pulling')
  expect(barText({ status: 'pulling', total: 200e6, completed: 900e6 }, 20)).toBe('[###################')
  expect(barText({ status: 'verifying\u001b[2J' }, 80)).toBe('verifying?[2J')
})

test('progress is one line that redraws on a terminal and one line per step elsewhere', () => {
  const written: string[] = []
  const stream = (isTTY: boolean) => ({ isTTY, columns: 80, write: (text: string) => written.push(text) })
  const lines = [{ status: 'a' }, { status: 'a' }, { status: 'b', total: 10, completed: 5 }]
  const piped = createPullProgress(stream(false))
  for (const line of lines) piped.show(line)
  piped.end()
  expect(written.splice(0)).toEqual(['a\n', 'b\n'])
  const drawn = createPullProgress(stream(true))
  for (const line of lines) drawn.show(line)
  drawn.end()
  expect(written.every((text) => text.startsWith('\r\u001b[K'))).toBe(true)
  expect(written).toHaveLength(3)
})

test('tables align despite colours; control characters of others never reach the terminal', () => {
  expect(
    table([
      ['a', 'b'],
      [coloured('', 'long'), 'c'],
    ]),
  ).toBe(`a     b\n${coloured('', 'long')}  c`)
  expect(printable('a\u001b[31m\u202eb\n')).toBe('a?[31m?b?')
})

test('words are found in every error format', () => {
  expect(wordsOf('{"error":"x"}')).toBe('x')
  expect(wordsOf('{"error":{"message":"y"}}')).toBe('y')
  expect(wordsOf('{"title":"t","detail":"d"}')).toBe('d')
  expect([wordsOf('no json'), wordsOf('{}'), wordsOf('null')]).toEqual([null, null, null])
})

test('an address of all interfaces is shown as this machine, IPv6 in brackets', () => {
  expect([urlOf('0.0.0.0', 1), urlOf('::', 1), urlOf('::1', 2), urlOf('10.0.0.1', 3)]).toEqual([
    'http://127.0.0.1:1',
    'http://[::1]:1',
    'http://[::1]:2',
    'http://10.0.0.1:3',
  ])
})

const tree: CommandTree = {
  name: 'corral',
  description: '',
  options: [{ long: '--port', description: "the gateway's [port]", takesValue: true }],
  children: [
    {
      name: 'nodes',
      description: 'nodes: all',
      options: [],
      children: [{ name: 'ls', description: 'list', options: [{ long: '--json', description: 'JSON', takesValue: false }], children: [] }],
    },
    { name: 'top', description: 'live', options: [], children: [] },
  ],
}

function completeInBash(line: string): string[] {
  const words = line.split(' ')
  const script = `${completionScript('bash', tree)}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _corral; printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['-c', script])
    .toString()
    .split('\n')
    .filter((word) => word !== '')
}

test('bash completes commands, subcommands and options by place', () => {
  expect(completeInBash('corral ')).toEqual(['nodes', 'top', '--port'])
  expect(completeInBash('corral n')).toEqual(['nodes'])
  expect(completeInBash('corral nodes ')).toEqual(['ls'])
  expect(completeInBash('corral nodes ls --')).toEqual(['--json'])
  expect(completeInBash('corral --port ')).toEqual([])
})

test('zsh and fish scripts name every command', () => {
  for (const shell of ['zsh', 'fish']) {
    const script = completionScript(shell, tree)
    for (const word of ['nodes', 'ls', 'top', 'json', 'port']) expect(script).toContain(word)
  }
})
