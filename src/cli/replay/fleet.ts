/**
 * The fleet that a log was made by, as far as the log tells: speeds of nodes and models from tokens and times, load times, slots. What it does
 * not tell is assumed, and said. A stream that shares its node runs at k^-0.7 of full speed, as in the simulator: times are taken back to
 * what they would be alone.
 */
import { loadMsOf, type ModelSpec, type NodeSpec } from '../../sim/virtual/workload.ts'
import type { LoggedRequest } from './log.ts'
import { crowdOf, streamsAtOnce } from './overlap.ts'

export interface KnownNode {
  readonly name: string
  /** As configured; null: to be learned. */
  readonly slots: number | null
}

export interface FleetWish {
  readonly nodes: readonly KnownNode[]
  /** Where requests never had to wait. */
  readonly slotsAssumed: number
  readonly memoryGb: number
}

export interface LearnedFleet {
  readonly nodes: readonly (NodeSpec & { readonly slots: number })[]
  readonly models: readonly ModelSpec[]
  /** Tokens of its prompt that the node had to read: the others it still had from the turn before. */
  readonly readTokens: ReadonlyMap<LoggedRequest, number>
  /** What the log did not tell, in sentences. */
  readonly assumed: readonly string[]
}

/** What one request tells of its node and model; null: it does not. */
interface Rates {
  readonly request: LoggedRequest
  readonly prefill: number | null
  readonly decode: number | null
}

const crowdingExponent = -0.7
/** Fewer tokens than these say nothing of a rate. */
const promptTokensMin = 16
const outputTokensMin = 8
/** What a token takes at least (of a prompt that was cached) and at most, in milliseconds; a rate beyond is no measurement. */
const tokenMsMin = 1e-6
const tokenMsMax = 60_000
/** Ollama reports some 50 to 100 ms for a model that is in memory. */
const loadMsMin = 500
/** A prompt read in less than this share of the usual time was cached. */
const cachedShare = 0.5
/** A wait in the gateway that is no noise. */
const queueMsMin = 100
/** Speeds taken where nothing was measured: those of a mid-size model on one consumer GPU. */
const prefillMsAssumed = 1
const decodeMsAssumed = 20

export function isColdLoad({ loadMs }: LoggedRequest): boolean {
  return loadMs !== null && loadMs >= loadMsMin
}

/** Nodes are those of the wish; of the log's others only what models tell is used. */
export function learnFleet(requests: readonly LoggedRequest[], { nodes, slotsAssumed, memoryGb }: FleetWish): LearnedFleet {
  const byNode = Map.groupBy(requests, ({ node }) => node)
  const rates = [...byNode.values()].flatMap(ratesOf)
  const speeds = speedsOf(rates)
  const models = modelsOf(rates, (node) => speeds.get(node) ?? 1)
  const largestGb = Math.max(...models.map(({ sizeGb }) => sizeGb))
  const specs = nodes.map(({ name, slots }) => {
    const own = byNode.get(name) ?? []
    return {
      name,
      // A model that is larger than this runs in part on the processor; it runs all the same.
      vramGb: Math.max(memoryGb, largestGb),
      speed: speeds.get(name) ?? 1,
      diskSpeed: diskSpeedOf(own, models),
      slots: slots ?? slotsOf(own, slotsAssumed),
    }
  })
  const readTokens = new Map(rates.map((rate) => [rate.request, readTokensOf(rate, models, speeds)]))
  return { nodes: specs, models, readTokens, assumed: assumptions({ requests, nodes, models, memoryGb }) }
}

function ratesOf(requests: readonly LoggedRequest[]): readonly Rates[] {
  const crowd = crowdOf(requests)
  return requests.map((request) => {
    const { promptTokens, outputTokens, ttftMs, queueMs, loadMs, endedAtMs, arrivedAtMs } = request
    const alone = crowd(request) ** crowdingExponent
    const promptMs = request.promptMs ?? (ttftMs === null ? null : ttftMs - (queueMs ?? 0) - (loadMs ?? 0))
    const outputMs = request.outputMs ?? (ttftMs === null ? null : endedAtMs - arrivedAtMs - ttftMs)
    return {
      request,
      prefill: promptTokens < promptTokensMin ? null : rateOf(promptMs, promptTokens, alone),
      decode: outputTokens < outputTokensMin ? null : rateOf(outputMs, outputTokens, alone),
    }
  })
}

/** Milliseconds of a token where the stream has its node alone. */
function rateOf(tookMs: number | null, tokens: number, alone: number): number | null {
  if (tookMs === null) return null
  const tokenMs = (tookMs / tokens) * alone
  return tokenMs >= tokenMsMin && tokenMs <= tokenMsMax ? tokenMs : null
}

/** How much faster than the usual node each one is, over the models that it served. */
function speedsOf(rates: readonly Rates[]): ReadonlyMap<string, number> {
  const usual = new Map([...Map.groupBy(rates, ({ request }) => request.model)].map(([model, all]) => [model, usualOf(all)]))
  const speeds = new Map<string, number>()
  for (const [node, own] of Map.groupBy(rates, ({ request }) => request.node)) {
    const ratios = own.flatMap(({ request, prefill, decode }) => {
      const model = usual.get(request.model)
      return [ratioOf(model?.prefill, prefill), ratioOf(model?.decode, decode)].filter((ratio) => ratio !== null)
    })
    speeds.set(node, median(ratios) ?? 1)
  }
  return speeds
}

function usualOf(rates: readonly Rates[]): { readonly prefill: number | null; readonly decode: number | null } {
  return { prefill: median(rates.flatMap(({ prefill }) => prefill ?? [])), decode: median(rates.flatMap(({ decode }) => decode ?? [])) }
}

function ratioOf(usual: number | null | undefined, own: number | null): number | null {
  return usual === null || usual === undefined || own === null ? null : usual / own
}

function modelsOf(rates: readonly Rates[], speedOf: (node: string) => number): readonly ModelSpec[] {
  return [...Map.groupBy(rates, ({ request }) => request.model)].map(([name, all]) => {
    const level = all.map(({ prefill, decode, request }) => {
      const speed = speedOf(request.node)
      return { request, prefill: prefill === null ? null : prefill * speed, decode: decode === null ? null : decode * speed }
    })
    const { prefill, decode } = usualOf(level)
    const sizeGb = sizeGbOf(name)
    return {
      name,
      sizeGb,
      loadMs: median(all.flatMap(({ request }) => (isColdLoad(request) ? (request.loadMs ?? []) : []))) ?? loadMsOf(sizeGb),
      prefillMsPerToken: prefill ?? prefillMsAssumed,
      decodeMsPerToken: decode ?? decodeMsAssumed,
    }
  })
}

/** A prompt that was read in much less than the usual time was cached for the most part, whether the node said so or not. */
function readTokensOf({ request, prefill }: Rates, models: readonly ModelSpec[], speeds: ReadonlyMap<string, number>): number {
  const { promptTokens, promptMs, model, node } = request
  const usual = models.find(({ name }) => name === model)?.prefillMsPerToken
  if (promptMs === null || prefill === null || usual === undefined) return promptTokens
  const share = (prefill * (speeds.get(node) ?? 1)) / usual
  return share > cachedShare ? promptTokens : Math.max(1, Math.round(promptTokens * share))
}

/** By the parameters in its name (`llama3.2:3b`, `mixtral:8x7b`) at 4 to 5 bits each, with room for a context. */
function sizeGbOf(name: string): number {
  const match = /(?:^|[^a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])/.exec(name)
  if (match === null) return sizeGbAssumed
  const [, experts = '1', count = '', unit = 'b'] = match
  const billions = (Number(experts) * Number(count)) / (unit === 'm' ? 1_000 : 1)
  return billions * gbPerBillion + contextGb
}

const sizeGbAssumed = 6
const gbPerBillion = 0.65
const contextGb = 0.8

function diskSpeedOf(own: readonly LoggedRequest[], models: readonly ModelSpec[]): number {
  const usual = new Map(models.map(({ name, loadMs }) => [name, loadMs]))
  const ratios = own.flatMap((request) => (isColdLoad(request) ? (ratioOf(usual.get(request.model), request.loadMs) ?? []) : []))
  return median(ratios) ?? 1
}

/** As many as ran at once where requests had to wait; where none had to there may be more. */
function slotsOf(own: readonly LoggedRequest[], assumed: number): number {
  const seen = Math.max(1, ...[...Map.groupBy(own, ({ model }) => model).values()].map(streamsAtOnce))
  const hadToWait = own.some((request) => (request.queueMs ?? 0) >= queueMsMin && !isColdLoad(request))
  return hadToWait ? seen : Math.max(seen, assumed)
}

interface Known extends Pick<FleetWish, 'nodes' | 'memoryGb'> {
  readonly requests: readonly LoggedRequest[]
  readonly models: readonly ModelSpec[]
}

function assumptions({ requests, nodes, models, memoryGb }: Known): readonly string[] {
  const served = new Set(requests.map(({ node }) => node))
  const names = new Set(nodes.map(({ name }) => name))
  const silent = [...names].filter((name) => !served.has(name))
  const foreign = [...served].filter((name) => !names.has(name))
  const loaded = new Set(requests.filter(isColdLoad).map(({ model }) => model))
  const unloaded = models.filter(({ name }) => !loaded.has(name)).map(({ name }) => name)
  const sizes = models.map(({ name, sizeGb }) => `${name} ${sizeGb.toFixed(1)}`).join(', ')
  return [
    `every node has every model, and ${memoryGb.toFixed(0)} GB for them (--memory)`,
    `sizes by name, in GB: ${sizes}`,
    ...(silent.length === 0 ? [] : [`as fast as the others, since the log has nothing of them: ${silent.join(', ')}`]),
    ...(foreign.length === 0 ? [] : [`gone, since the configuration does not name them: ${foreign.join(', ')}`]),
    ...(unloaded.length === 0 ? [] : [`load time by size, since the log has no load of them: ${unloaded.join(', ')}`]),
  ]
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? null
}
