/**
 * What a scrape costs a gateway that has seen everything: nodes that hold a thousand models, each asked for, a thousand more that clients make up,
 * a thousand credentials and a thousand paths. How long a scrape takes, how large it is, and what requests beside it feel.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import { manySlots } from './harness/gateway.ts'
import { portOf } from './harness/port-of.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, Stage, Target } from './harness/stage.ts'

const many = 1_000
const nodes = 8
const asksAtOnce = 16
const scrapeEveryMs = 100
const openMetrics = { accept: 'application/openmetrics-text;version=1.0.0' }

const names = ['m:latest', ...Array.from({ length: many }, (_, index) => `model-${index}:latest`)]
const listed = JSON.stringify({
  models: names.map((name) => ({ name, model: name, digest: 'ab'.repeat(32), size: 1, modified_at: '2026-01-01T00:00:00Z' })),
})
const answered = JSON.stringify({
  model: 'm',
  created_at: '2026-01-01T00:00:00Z',
  message: { role: 'assistant', content: 'yes' },
  response: 'yes',
  done: true,
  done_reason: 'stop',
  prompt_eval_count: 7,
  eval_count: 3,
})
const lists: Readonly<Record<string, string>> = { '/api/tags': listed, '/api/ps': '{"models":[]}', '/api/version': '{"version":"0.30.0"}' }

/** Ollama as far as a gateway asks it here. */
function answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
  incoming.resume()
  incoming.on('end', () => {
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(lists[incoming.url ?? ''] ?? answered)
  })
}

interface Service {
  readonly port: number
  stop(): Promise<void>
}

function startNode(): Promise<Service> {
  return new Promise((resolve) => {
    const server = createServer(answer)
    const stop = async (): Promise<void> => {
      server.closeAllConnections()
      server.close()
    }
    server.listen(0, '127.0.0.1', () => resolve({ port: portOf(server), stop }))
  })
}

async function ask(url: string, path: string, given: { readonly model?: string; readonly key?: string } = {}): Promise<void> {
  const { model, key = 'none' } = given
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const body = model === undefined ? {} : { body: JSON.stringify({ model, stream: false, messages: [{ role: 'user', content: 'x' }] }) }
  await (await fetch(url + path, { method: model === undefined ? 'GET' : 'POST', headers, ...body })).arrayBuffer()
}

/** Everything that could make a series, some at a time. */
async function fill(url: string): Promise<void> {
  const indexes = Array.from({ length: many }, (_, index) => index).values()
  const lane = async (): Promise<void> => {
    for (const index of indexes) {
      const key = `key-${index}`
      await ask(url, '/api/chat', { model: `model-${index}`, key })
      await ask(url, '/api/chat', { model: `made-up-${index}`, key })
      await ask(url, `/path/${index}`, { key })
    }
  }
  await Promise.all(Array.from({ length: asksAtOnce }, lane))
}

interface Scraped {
  readonly tookMs: number
  readonly bytes: number
  readonly series: number
}

async function scrape(url: string): Promise<Scraped> {
  const startedAtMs = systemClock.nowMs()
  const text = await (await fetch(`${url}/metrics`, { headers: openMetrics })).text()
  const tookMs = systemClock.nowMs() - startedAtMs
  return { tookMs, bytes: Buffer.byteLength(text), series: text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length }
}

/** P99 of requests for `forMs`, with a scrape now and then or without. */
async function besides(driver: LoadDriver, target: Target, { forMs, scrapes }: { forMs: number; scrapes: boolean }): Promise<number> {
  await driver.start({ port: target.port, body: wholeChat, connections: 8 })
  const endMs = systemClock.nowMs() + forMs
  while (systemClock.nowMs() < endMs) {
    if (scrapes) await scrape(`http://127.0.0.1:${target.port}`)
    await systemClock.sleep(scrapeEveryMs)
  }
  const { latencyMs } = await driver.finish()
  return rounded(latencyMs['ok']?.p99 ?? Number.NaN)
}

async function startHerd(stage: Stage): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < nodes) ports.push((await stage.service(startNode())).port)
  return ports
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const gateway = await stage.gateway(await startHerd(stage), manySlots)
    const url = `http://127.0.0.1:${gateway.port}`
    await fill(url)
    const scrapes: Scraped[] = []
    for (let round = 0; round < (options.isQuick ? 20 : 100); round += 1) scrapes.push(await scrape(url))
    const driver = await stage.driver()
    const forMs = options.isQuick ? 2_000 : 10_000
    const p99Ms = {
      without: await besides(driver, gateway, { forMs, scrapes: false }),
      with: await besides(driver, gateway, { forMs, scrapes: true }),
    }
    const tookMs = rounded(median(scrapes.map((each) => each.tookMs)))
    const [bytes, series] = [Math.max(...scrapes.map((each) => each.bytes)), Math.max(...scrapes.map((each) => each.series))]
    const bars = [atMost('series', series, 8_000), atMost('a scrape, bytes', bytes, 1_000_000), atMost('a scrape, ms (median)', tookMs, 15)]
    return benchResult('scrape', options, { bars, data: { series, bytes, tookMs, p99Ms } })
  })
}
