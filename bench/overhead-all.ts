/**
 * The bench `overhead` with everything on: keys from a Postgres store, limits of every kind decided by Redis, caches in memory and in Redis, usage
 * written down. `corral` is asked what is never cached, as chat mostly is; `miss` what is looked up and stored each time and never found,
 * the most that a request can cost. With `--portkey PATH` Portkey's gateway stands beside them, and `openai` is what is asked of it.
 */
import { firstClosed, newKey } from './harness/closed-gateway.ts'
import { closed, failedOf, middleOf, playRounds, roundsTable, steady } from './harness/interleaved.ts'
import type { AimedTarget, Rounds } from './harness/interleaved.ts'
import { atLeast, atMost, benchResult } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { startPortkey } from './harness/portkey.ts'
import { startPooledPostgres, startRedis } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { Stage } from './harness/stage.ts'
import { openAiChatPath, uniquePinnedChat } from './harness/bodies.ts'

/** Both serve it with ease. */
const steadyRate = 2_000
/** Never reached. */
const wide = { requestsPerMinute: 60_000_000, tokensPerMinute: 60_000_000, concurrency: 100_000 }

async function targets(stage: Stage, portkeyPath: string | undefined): Promise<AimedTarget[]> {
  const herd = await stage.mock(8)
  const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
  const { url: redisUrl } = await stage.service(startRedis())
  const { gateway, adminKey } = await firstClosed(stage, herd.ports, { postgres, redisUrl })
  const headers = { authorization: `Bearer ${await newKey(gateway.port, adminKey, wide)}` }
  const openAi = { ...gateway, name: 'openai', load: { headers, path: openAiChatPath } }
  const portkey = portkeyPath === undefined ? [] : [openAi, await stage.service(startPortkey(portkeyPath, herd.ports))]
  return [
    await stage.bare(herd.ports),
    { ...gateway, load: { headers } },
    { ...gateway, name: 'miss', load: { headers, body: uniquePinnedChat } },
    ...portkey,
  ]
}

/** Requests per second of CPU, over Portkey's in the same round. What it fails would flatter us: then nothing is compared. */
function portkeyBars(found: Rounds): Bar[] {
  const bars = closed(10, 64).map(({ connections }) => {
    const load = `c=${connections}`
    const ratio = middleOf(found, [`openai ${load}`, `portkey ${load}`], (own, other) => other.cpuUs / own.cpuUs)
    return atLeast(`requests per CPU second ${load}, × Portkey`, ratio, 5)
  })
  return [...bars, atMost('requests that Portkey failed', failedOf(found, 'portkey'), 0)]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const found = await onStage(options, async (stage) => {
    const plan = {
      targets: await targets(stage, options.portkeyPath),
      loads: [...closed(1, 10, 64), steady(steadyRate)],
      rounds: options.isQuick ? 3 : 9,
      forMs: options.isQuick ? 1_500 : 2_500,
    }
    return playRounds(await stage.driver(), plan, options)
  })
  const cpuRatio = (name: string, load: string): number =>
    middleOf(found, [`${name} ${load}`, `bare ${load}`], (own, bare) => own.cpuUs / bare.cpuUs)
  const bars = [
    atMost('CPU per request c=10, × bare', cpuRatio('corral', 'c=10'), 2),
    atMost('CPU per request c=64, × bare', cpuRatio('corral', 'c=64'), 2),
    atMost(`CPU per request at ${steadyRate}/s, × bare`, cpuRatio('corral', `${steadyRate}/s`), 2),
    atMost('failed requests', failedOf(found, 'corral') + failedOf(found, 'miss') + failedOf(found, 'openai'), 0),
    ...(options.portkeyPath === undefined ? [] : portkeyBars(found)),
  ]
  const missRatio = { 'c=10': cpuRatio('miss', 'c=10'), 'c=64': cpuRatio('miss', 'c=64') }
  return benchResult('overhead-all', options, { bars, data: { missCpuOverBare: missRatio, ...roundsTable(found) } })
}
