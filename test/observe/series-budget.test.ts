// How many series a scrape grows to: a registry in which every event has happened, under the names it would have. Every route answered well
// once; a second class of status on each of them would be as many series again, and is nothing that happens.
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { citationOrigins, dropReasons } from '../../src/core/citation.ts'
import { errorCatalogue } from '../../src/core/errors.ts'
import type { Failure } from '../../src/fleet/attempt-report.ts'
import { addFleetGauges } from '../../src/fleet/fleet-gauges.ts'
import type { MemoryStep } from '../../src/http/memory-ladder.ts'
import type { DenialReason } from '../../src/identity/verdict.ts'
import type { Exposition } from '../../src/observe/exposition.ts'
import type { Cell, Distribution, Family } from '../../src/observe/families.ts'
import type { Observer } from '../../src/observe/observer.ts'
import { outcomeLabels } from '../../src/observe/outcome.ts'
import { routes } from '../../src/wire/routes.ts'
import { inventory } from '../identity/route-inventory.ts'
import { listFiles, readSource } from '../source-tree.ts'
import { long } from '../support/certificates.ts'
import { ended, facts, makeObserver, sample, scrapeOf, triedOn } from './fixtures.ts'
import { giveModel, makeFleet, makeNode } from './fleet-fixture.ts'
import { parseScrape } from './scrape.ts'
import { shortestMs } from './shortest.ts'

const seriesMax = 8_000
const bytesMax = 1_000_000

const chatBases = [
  'llama3.1',
  'llama3.2-vision',
  'llama3.3',
  'qwen2.5-coder',
  'qwen3',
  'qwen3-coder',
  'gemma3',
  'mistral-small3.2',
  'deepseek-r1',
  'phi4-reasoning',
  'gpt-oss',
  'granite3.3',
  'devstral',
  'magistral',
  'command-r7b',
  'hf.co/bartowski/Llama-3.3-70B-Instruct-GGUF',
]
const embedBases = ['nomic-embed-text', 'mxbai-embed-large', 'bge-m3', 'snowflake-arctic-embed2']
const sizes = ['1b', '3b', '8b', '12b', '14b', '24b', '27b', '32b', '70b', '120b']
const quantisations = ['q4_K_M', 'q5_K_M', 'q6_K', 'q8_0', 'fp16']

/** A thousand models as Ollama's library names them, and whether they embed. */
const models = sizes.flatMap((size) =>
  quantisations.flatMap((quantisation) =>
    [...chatBases, ...embedBases].map((base) => ({ name: `${base}:${size}-instruct-${quantisation}`, embeds: embedBases.includes(base) })),
  ),
)
const nodes = Array.from({ length: 8 }, (_, index) => `10.0.0.${11 + index}:11434`)

/** Patterns of all routes of the port. */
const patterns = new Set([...routes.map(({ pattern }) => pattern), ...inventory.map((line) => line.split(' ')[1]?.replace(/:$/, '') ?? '')])
const transactions = new Set(
  listFiles('src', '.ts').flatMap((file) => [...readSource(file).matchAll(/name: '([a-z]+_[a-z_]+)' \}/g)].map(([, name = '']) => name)),
)

/** Values of the labels whose families no event of an observer reaches here, by family or for all. */
const closed: Readonly<Record<string, readonly string[]>> = {
  'cacheLayer.layer': ['memory', 'redis', 'postgres'],
  'cacheLookup.layer': ['redis', 'postgres'],
  'cacheEvictions.layer': ['memory', 'postgres'],
  'cacheLayer.result': ['hits', 'misses', 'skips', 'corrupt'],
  'cacheRequests.kind': ['inference', 'embedding', 'retrieval', 'answer'],
  'cacheRequests.result': ['hit', 'miss', 'joined', 'bypass', 'stale', 'partial'],
  'redisCalls.result': ['answered', 'skipped', 'data-error'],
  'redisSeconds.command': ['get', 'set', 'del', 'mget', 'evalsha', 'script', 'publish', 'ping'],
  'dependencyUp.dependency': ['database', 'redis', 'issuers'],
  'certificateExpiry.dependency': ['database', 'redis', 'issuers', 'collector'],
  'certificateLifetime.dependency': ['database', 'redis', 'issuers', 'collector'],
  'keysExpiring.kind': ['secret', 'ed25519'],
  'keyExpiry.kind': ['secret', 'ed25519'],
  'poolConnections.state': ['used', 'idle', 'waiting'],
  'querySeconds.query': [...transactions, 'other'],
  'queryFailures.reason': ['store_unavailable', 'store_timeout'],
  'searches.mode': ['keyword', 'vector', 'hybrid'],
  'searches.result': ['ok', 'empty', 'degraded', 'cached', 'failed'],
  'retrievalSeconds.stage': ['embed', 'keyword', 'vector', 'fuse', 'rerank', 'total'],
  'retrievalResults.mode': ['keyword', 'vector', 'hybrid'],
  'retrievalTopScore.mode': ['keyword', 'vector', 'hybrid'],
  'ingestSeconds.stage': ['extract', 'chunk', 'embed', 'index'],
  'documents.kind': ['pdf', 'docx', 'pptx', 'xlsx', 'html', 'markdown', 'csv', 'json', 'xml', 'email', 'text', 'code', 'other'],
  'documents.outcome': ['written', 'unchanged', 'duplicate', 'failed'],
  'jobDuration.state': ['done', 'queued', 'paused', 'failed'],
  'jobFailures.reason': Object.keys(errorCatalogue).filter((code) => /^(document|url|parser|store|node|queue|no)_/.test(code)),
  'embeddings.outcome': ['ok', 'failed'],
  'ragAnswers.result': ['generated', 'cached', 'refused', 'client_gone', 'failed'],
  'ragPassages.injection': ['plain', 'suspected'],
  'citations.origin': citationOrigins,
  'citationsDropped.reason': dropReasons,
  'jobs.state': ['queued', 'running', 'paused', 'failed'],
  'jobOldestAge.state': ['queued', 'running', 'paused', 'failed'],
  'traceSpans.result': ['sent', 'dropped', 'refused', 'lost'],
  'httpRequests.route': [...patterns, 'unmatched'],
  'httpRequests.code_class': ['2xx'],
  'httpDuration.route': [...patterns, 'unmatched'],
  'httpDuration.code_class': ['2xx'],
}

// prettier-ignore
const denials: readonly DenialReason[] = [
  'missing', 'malformed', 'method_off', 'unknown', 'wrong_secret', 'expired', 'revoked', 'suspended',
  'invalid_token', 'unknown_signer', 'bad_signature', 'stale_signature', 'replayed',
]
const failures: readonly Failure['kind'][] = ['connect', 'reset', 'timeout', 'protocol', 'truncated', 'stalled', 'missing_model']
const memorySteps: readonly MemoryStep[] = ['defer', 'close', 'refuse']

function product(lists: readonly (readonly string[])[]): string[][] {
  return lists.reduce<string[][]>((sets, list) => sets.flatMap((set) => list.map((value) => [...set, value])), [[]])
}

/** Every label set of a family that has none yet. Throws on one of which nobody said what its labels may be. */
function fill(key: string, family: Family): void {
  const lists = family.labels.map((label) => closed[`${key}.${label}`] ?? [])
  const missing = family.labels.filter((_, index) => lists[index]?.length === 0)
  if (missing.length > 0) throw new Error(`nothing happened to ${family.name}, and no values are given for ${missing.join(', ')}`)
  for (const values of product(lists)) touch(family.child(...values))
}

function touch(cell: Cell | Distribution): void {
  if ('value' in cell) cell.value += 1
  else cell.observe(0.1)
}

/** What happens to a model on its node, once in each way. */
function useModel(observer: Observer, { name, embeds }: (typeof models)[number], home: string): void {
  const route = facts(embeds ? '/api/embed' : '/api/chat')
  observer.requestEnded({ ...ended(name, home), facts: route, firstFrameAtMs: embeds ? null : 2 })
  observer.requestEnded({ ...ended(`unknown-${name}`, home), facts: route })
  for (const node of nodes) observer.attemptEnded(triedOn(node, name), { outcome: 'ok', ttftMs: embeds ? null : 1 })
  if (!embeds) {
    observer.attemptEnded(triedOn(home, name), { outcome: 'client_gone', ttftMs: 1 })
    observer.streamStarted(triedOn(home, name))?.observe(0.02)
    observer.reloadAvoided(name)
  }
  observer.attemptEnded({ ...triedOn(home, name), request: { envelope: { promptTokens: 9_000 } } }, { outcome: 'ok', ttftMs: null })
  observer.dequeued(name, 0, 5, 'interactive')
  for (const reason of ['full', 'deadline', 'no_node'] as const) observer.rejected(name, reason)
  observer.loadEnded(home, name, 10, null)
}

/** What happens to a node, once in each way. */
function useNode(observer: Observer, node: string): void {
  for (const reason of ['only', 'loaded', 'cold', 'spill', 'least-loaded', 'affinity', 'retry', 'split']) observer.routed(node, reason)
  for (const reason of failures) observer.retried(node, reason)
  for (const kind of outcomeLabels) observer.metrics.families.nodeRequests.at(observer.metrics.node.admit(node), kind)
  for (const probe of ['version', 'tags', 'ps']) {
    observer.probeEnded(node, probe, 2)
    observer.probeFailed(node, probe, 'timed out')
  }
  for (const state of ['closed', 'open', 'half_open'] as const) observer.breakerChanged(node, state)
  observer.nodeDown(node, 'connection refused')
  observer.nodeUp(node)
  observer.wedgeFreed(node, 'qwen3:8b')
}

/** By `addFleetGauges`, and by the guards themselves. */
// prettier-ignore
const filledAtScrape = new Set([
  'nodeUp', 'nodeInFlight', 'nodeSlots', 'nodeDraining', 'circuitState', 'nodeSeen', 'queueDepth', 'slots',
  'drift', 'modelLoaded', 'modelVram', 'modelExpiry', 'nodeCertificateExpiry', 'nodeCertificateLifetime', 'overflow',
])

/** An observer to which everything happened, over a fleet whose nodes hold these models. */
function afterEverything(options: unknown = {}): Observer {
  const { observer } = makeObserver(options, true)
  const certificate = { validity: long, look: () => undefined, stop: () => undefined }
  const fleetNodes = nodes.map((name) => ({ ...makeNode({ url: `http://${name}`, headers: {} }), certificate }))
  addFleetGauges(observer.metrics, makeFleet(fleetNodes), systemClock)
  for (const [index, model] of models.entries()) {
    const at = index % nodes.length
    const node = fleetNodes[at]
    if (node !== undefined) giveModel(node, model.name)
    useModel(observer, model, nodes[at] ?? '')
  }
  for (const node of nodes) useNode(observer, node)
  for (const method of ['key', 'jwt', 'signature', 'none'] as const)
    for (const result of ['granted', 'undecided', ...denials]) observer.decided(method, result)
  for (const step of memorySteps) observer.memoryRefused(step)
  observer.configLoaded(null, 'a1b2c3d4')
  for (const [key, family] of Object.entries<Family>(observer.metrics.families))
    if (family.size === 0 && !filledAtScrape.has(key)) fill(key, family)
  return observer
}

test.each<Exposition>(['text', 'openmetrics'])(
  'a thousand models in use on eight nodes stay inside the budget of series and bytes (%s)',
  async (exposition) => {
    const { body } = await afterEverything().metrics.render(exposition)
    const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    expect(lines.length).toBeLessThan(seriesMax)
    expect(Buffer.byteLength(body)).toBeLessThan(bytesMax)
  },
)

test('a thousand models on a hundred nodes stay inside the series budget', async () => {
  const { observer } = makeObserver({ metrics: { labelValuesMax: 20 } })
  for (let index = 0; index < 1_000; index += 1) {
    const node = `node-${index % 100}`
    observer.requestEnded(ended(`model-${index}`, node))
    observer.routed(node, 'only')
    observer.attemptEnded(triedOn(node, `model-${index}`), { outcome: 'ok', ttftMs: 1 })
    observer.dequeued(`model-${index}`, 0, 5, 'interactive')
  }
  const body = await scrapeOf(observer)
  const { series } = parseScrape(body)
  expect(series.length).toBeLessThan(seriesMax)
  expect(body.length).toBeLessThan(bytesMax)
  const tookMs = await shortestMs(10, () => observer.metrics.render())
  expect(tookMs).toBeLessThan(15)
  expect(sample(body, 'corral_metric_label_overflow_total{metric="all",label="model"}')).toBeGreaterThan(900)
  expect(sample(body, 'corral_requests_total{op="chat",model="other",outcome="ok"}')).toBe(980)
})
