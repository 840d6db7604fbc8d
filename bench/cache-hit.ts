/**
 * What an answer out of memory costs with everything on (keys, limits on every key, metrics, access log), beside a bare node:http
 * handler that answers the same bytes. The request is always the same, so its key is known by the digest of its
 * body. The same gateway without keys and limits runs in between, to show what the cache alone takes.
 */
import { firstClosed, newKey } from './harness/closed-gateway.ts'
import { manySlots } from './harness/gateway.ts'
import { closed, failedOf, middleOf, playRounds, roundsTable, steady } from './harness/interleaved.ts'
import type { AimedTarget } from './harness/interleaved.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { startPooledPostgres } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { Stage } from './harness/stage.ts'

const body = JSON.stringify({
  model: 'm:latest',
  messages: [{ role: 'user', content: 'How many head of cattle stand in the north pasture tonight?' }],
  stream: false,
  options: { temperature: 0 },
})
/** Both serve it with ease. */
const steadyRate = 3_000
/** Limits that count every request and never refuse one. */
const wideLimits = { requestsPerMinute: 60_000_000, tokensPerMinute: 60_000_000, concurrency: 100_000 }
/** Written by node:http itself. */
const hopNames: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding', 'date'])

/** Fetches the answer twice; throws unless the second one is a hit. */
async function hitOf(port: number, headers: Record<string, string>): Promise<{ headers: Record<string, string>; body: string }> {
  const ask = (): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/api/chat`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })
  await (await ask()).text()
  const response = await ask()
  const answer = { headers: Object.fromEntries([...response.headers].filter(([name]) => !hopNames.has(name))), body: await response.text() }
  if (response.headers.get('x-corral-cache') !== 'hit') throw new Error(`no hit: ${response.status} ${JSON.stringify(answer)}`)
  return answer
}

async function targets(stage: Stage): Promise<AimedTarget[]> {
  const herd = await stage.mock(2)
  const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
  const { gateway, adminKey } = await firstClosed(stage, herd.ports, { postgres })
  const headers = { authorization: `Bearer ${await newKey(gateway.port, adminKey, wideLimits)}` }
  const open = await stage.gateway(herd.ports, manySlots)
  const answer = await hitOf(gateway.port, headers)
  await hitOf(open.port, {})
  const bare = await stage.bareAnswer(answer)
  return [
    { ...bare, load: { body, headers } },
    { ...open, name: 'open', load: { body } },
    { ...gateway, load: { body, headers } },
  ]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const found = await onStage(options, async (stage) => {
    const cast = await targets(stage)
    const plan = {
      targets: cast,
      loads: [...closed(1, 10), steady(steadyRate)],
      rounds: options.isQuick ? 3 : 9,
      forMs: options.isQuick ? 1_500 : 2_500,
    }
    return playRounds(await stage.driver(), plan, options)
  })
  const own = found.get('corral c=10') ?? []
  const bars = [
    atMost(
      'CPU per hit c=10, × bare',
      middleOf(found, ['corral c=10', 'bare-answer c=10'], (hit, bare) => hit.cpuUs / bare.cpuUs),
      2.5,
    ),
    atMost(
      `CPU per hit at ${steadyRate}/s, × bare`,
      middleOf(found, [`corral ${steadyRate}/s`, `bare-answer ${steadyRate}/s`], (hit, bare) => hit.cpuUs / bare.cpuUs),
      2.5,
    ),
    atMost('p50 c=10, ms', rounded(median(own.map(({ p50Ms }) => p50Ms))), 1),
    atMost('p99 c=10, ms', rounded(median(own.map(({ p99Ms }) => p99Ms))), 10),
    atMost('failed requests', failedOf(found, 'corral'), 0),
  ]
  return benchResult('cache-hit', options, { bars, data: roundsTable(found) })
}
