// A real Prometheus scrapes the demo's gateway over simulated nodes with faults: every panel shows something, and the right alerts fire and
// clear. Rules run sixty times as fast, so that an hour is a minute. Nothing here waits for a length of time: only for what must come.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { runCorral } from '../../scripts/demo/command.ts'
import { type DemoGateway, startGateway } from '../../scripts/demo/gateway.ts'
import { chat, embed, warmUp } from '../../scripts/demo/requests.ts'
import { renderRules } from '../../src/observe/alerts/rule-file.ts'
import { dashboardsFor } from '../../src/observe/dashboards/files.ts'
import { createHerd, type SimHerd } from '../../src/sim/herd.ts'
import { listFiles, readSource, root } from '../source-tree.ts'
import { startRedis } from '../support/redis.ts'
import { hasPrometheus, type Prometheus, startPrometheus } from './prometheus-server.ts'
import { filledIn, labelsByName, parseExpression } from './promql.ts'

const chatModel = 'llama3.2:3b'
const embedModel = 'nomic-embed-text'
/** Unloaded after each answer, so that each begins with a load. */
const coldModel = 'qwen3:8b'
const waitMs = 90_000

/** Panels whose event cannot happen in this fleet, and why. */
const silent: Readonly<Record<string, string>> = {
  'Fleet / Builds of one name': 'all nodes of the demo hold the same builds',
  'Runtime and dependencies / Successful authentications': 'the demo asks for no credentials',
  'Runtime and dependencies / Certificates, time left': 'the demo asks its nodes and Redis without TLS',
  'Runtime and dependencies / API keys that end within 7 days': 'the demo takes no keys',
  'Runtime and dependencies / The next API key to end, time left': 'the demo takes no keys',
}

/** What is to be ended, in the order of its start. */
const started: { close(): Promise<void> }[] = []
let herd: SimHerd
let gateway: DemoGateway
let prometheus: Prometheus
let rounds = 0

/**
 * What an evening of users does, in small: streams, embeddings twice, pinned answers twice, a cold model, a new document, searches new and
 * old, an answer with citations. Everything happens in each round: a rate has no value for what happened once, before the first scrape.
 */
async function drive(): Promise<void> {
  const { url } = gateway
  rounds += 1
  const pinned = (): Promise<unknown> =>
    post(url, '/api/chat', {
      model: chatModel,
      stream: false,
      options: { temperature: 0, seed: 7 },
      messages: [{ role: 'user', content: 'The same.' }],
    })
  await Promise.all([
    ...Array.from({ length: 24 }, (_, index) => chat(url, chatModel, `Question ${index}: what does a shepherd do?`)),
    embed(url, embedModel, ['one', 'two', 'three']),
    pinned(),
    longContext(url),
    hangUp(url),
    post(url, '/api/generate', { model: coldModel, prompt: 'Load, answer, unload.', stream: false, keep_alive: 0 }),
    addDocument(`%PDF-1.7 round ${rounds}, and nothing that follows from it`, { type: 'application/pdf', status: 422 }),
    addDocument(`Round ${rounds}: the herd is driven once more.`),
    runCorral(url, ['ask', `What happens when a node fails in round ${rounds}?`, '--collection', 'docs']),
  ])
  await Promise.all([pinned(), embed(url, embedModel, ['one', 'two', 'three']), search('queue'), search(`ejection ${rounds}`)])
}

/** More context than others ask for, so that it runs with the next bucket's, and a prompt that is longer still. */
function longContext(url: string): Promise<unknown> {
  const options = { num_ctx: 3_000 + rounds, num_predict: 1 }
  return post(url, '/api/generate', { model: chatModel, stream: false, prompt: `${rounds} ${'word '.repeat(8_000)}`, options })
}

/** Somebody who leaves after the first words. */
async function hangUp(url: string): Promise<void> {
  const body = JSON.stringify({ model: chatModel, messages: [{ role: 'user', content: `Round ${rounds}: go on for long.` }] })
  const answer = await fetch(`${url}/api/chat`, { method: 'POST', body })
  const reader = answer.body?.getReader()
  await reader?.read()
  await reader?.cancel()
}

async function post(url: string, path: string, body: unknown): Promise<string> {
  const answer = await fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) })
  return answer.text()
}

/** Resolves when the document can be found, or was found to be what has that status. */
async function addDocument(text: string, { type = 'text/plain', status = 200 } = {}): Promise<void> {
  const headers = { 'content-type': type }
  const answer = await fetch(`${gateway.url}/rag/collections/docs/documents?wait=true`, { method: 'POST', headers, body: text })
  const said = await answer.text()
  if (answer.status !== status) throw new Error(`${answer.status} for a document: ${said}`)
}

function search(query: string): Promise<string> {
  return post(gateway.url, '/rag/search', { collection: 'docs', query })
}

/** Drives traffic until `holds`; then the same traffic is no longer needed. */
async function driveUntil(holds: () => Promise<boolean>, what: () => string): Promise<void> {
  const endMs = performance.now() + waitMs
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${waitMs} ms: ${what()}`)
    await drive()
  }
}

describe.runIf(hasPrometheus)('with a real Prometheus', () => {
  beforeAll(async () => {
    herd = await createHerd({ nodes: 4, speed: 40, embedMsPerItem: 4 })
    started.push(herd)
    await warmUp(herd.urls, { chatModel, embedModel })
    const redis = await startRedis({ keepOpen: true })
    started.push({ close: () => redis.stop() })
    const settings = { REDIS_URL: redis.url, CORRAL_FLEET__NUM_CTX__POLICY: 'bucket' }
    gateway = await startGateway(herd.nodes, await freePort(), settings)
    started.push(gateway)
    prometheus = await startPrometheus({ target: new URL(gateway.url).host, scrapeMs: 1_000, rules: renderRules({ scale: 60 }) })
    started.push(prometheus)
    await vi.waitUntil(() => prometheus.isReady(), { timeout: 30_000 })
  }, 60_000)

  afterAll(async () => {
    for (const each of started.toReversed()) await each.close()
  })

  test('every panel shows something, and names metrics and labels that a scrape has', { timeout: 2 * waitMs }, async () => {
    const ingested = await runCorral(gateway.url, [
      'ingest',
      `${root}/docs/limits.md`,
      `${root}/docs/operations.md`,
      '--collection',
      'docs',
    ])
    expect(ingested.stderr).toContain('docs')
    herd.nodes[0]?.control.set('instant-503', { count: 5, path: '/api/chat' })
    herd.nodes[1]?.control.set('rst-before-head', { count: 5, path: '/api/chat' })
    const panels = dashboardsFor().flatMap(({ title, panels: own }) =>
      own.flatMap(({ title: name, queries }) =>
        queries.map(({ expr }) => ({ panel: `${title.replace('Corral / ', '')} / ${name}`, expr: filledIn(expr) })),
      ),
    )
    const startedAtSeconds = Date.now() / 1_000
    let empty: string[] = []
    const looked = async (): Promise<boolean> => {
      const graphs = await Promise.all(
        panels.map(async ({ panel, expr }) => ({ panel, hasPoint: await prometheus.draws(expr, startedAtSeconds) })),
      )
      empty = [...new Set(graphs.filter(({ hasPoint }) => !hasPoint).map(({ panel }) => panel))].filter((panel) => !(panel in silent))
      return empty.length === 0
    }
    await driveUntil(looked, () => `samples for ${empty.join(', ')}`)

    const known = labelsByName(await (await fetch(`${gateway.url}/metrics`)).text())
    const own = new Set(['job', 'instance', 'le', 'alertname', 'alertstate'])
    const foreign = new Set(['ALERTS', 'scrape_duration_seconds', 'scrape_samples_scraped'])
    const strange = panels
      .filter(({ panel }) => !(panel in silent))
      .flatMap(({ panel, expr }) => {
        const { metrics, labels } = parseExpression(expr)
        const missing = metrics.filter((name) => !known.has(name) && !foreign.has(name))
        const carried = new Set(metrics.flatMap((name) => [...(known.get(name) ?? [])]))
        return [...missing, ...labels.filter((label) => !own.has(label) && !carried.has(label))].map((name) => `${panel}: ${name}`)
      })
    expect(strange).toEqual([])
  })

  test('an exemplar leads from a bucket to the trace of a request', { timeout: 2 * waitMs }, async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const isThere = async (): Promise<boolean> => {
      const body = JSON.stringify({ model: chatModel, messages: [{ role: 'user', content: 'Which trace?' }] })
      const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
      await (await fetch(`${gateway.url}/api/chat`, { method: 'POST', headers, body })).text()
      return (await prometheus.exemplars('corral_time_to_first_token_seconds_bucket')).has(traceId)
    }
    await driveUntil(isThere, () => 'an exemplar with the trace')
    expect(await prometheus.exemplars('corral_request_duration_seconds_bucket')).toContain(traceId)
  })

  test('errors burn the budget: the page comes, and goes when they end', { timeout: 3 * waitMs }, async () => {
    for (const node of herd.nodes) node.control.set('server-error', { path: '/api/chat' })
    const fires = async (): Promise<boolean> => (await prometheus.firing()).has('CorralErrorBudgetBurnFast')
    await driveUntil(fires, () => 'CorralErrorBudgetBurnFast fires')
    expect([...(await prometheus.firing())]).not.toContain('CorralDown')
    for (const node of herd.nodes) node.control.clear('server-error')
    await driveUntil(
      async () => !(await fires()),
      () => 'CorralErrorBudgetBurnFast clears',
    )
  })

  test('a node goes away: its alert comes, and goes with its return', { timeout: 3 * waitMs }, async () => {
    const [victim] = herd.nodes
    await victim?.kill()
    await driveUntil(
      async () => (await prometheus.firing()).has('CorralNodeDown'),
      () => 'CorralNodeDown fires',
    )
    expect([...(await prometheus.firing())]).not.toContain('CorralNoNode')
    await victim?.restart()
    await driveUntil(
      async () => !(await prometheus.firing()).has('CorralNodeDown'),
      () => 'CorralNodeDown clears',
    )
  })
})

test('no panel is called silent that is not there', () => {
  const titles = new Set(listFiles('grafana/dashboards', '.json').flatMap((file) => titlesOf(readSource(file))))
  expect(Object.keys(silent).filter((panel) => !titles.has(panel))).toEqual([])
})

function titlesOf(text: string): string[] {
  const { title, panels }: { title: string; panels: { title: string }[] } = JSON.parse(text)
  return panels.map((panel) => `${title.replace('Corral / ', '')} / ${panel.title}`)
}
