/**
 * What the whole fleet holds, as one Ollama server would list it: `/api/tags`, `/v1/models`, `/api/ps`, `/api/version`,
 * `/api/status`. Lists come from what the prober knows, so that a slow node delays nobody; a node not read yet is waited for,
 * with a deadline. What is loaded changes with every request, so it is asked for each time, with the same deadline.
 */
import type { Clock } from '../../base/clock.ts'
import { compareInstants } from '../../base/instant.ts'
import { waitAtMost } from '../../base/within.ts'
import type { Relay } from '../../core/relay.ts'
import type { Catalogue } from '../catalogue.ts'
import type { FleetNode, LoadedModel, ModelTag } from '../node.ts'
import type { FleetOptions } from '../options.ts'
import type { Prober } from '../probe.ts'
import { jsonHeaders, usableNodes, wholeAnswer } from './answers.ts'

export interface ListDeps {
  readonly nodes: () => readonly FleetNode[]
  readonly catalogue: Catalogue
  readonly prober: Prober
  readonly clock: Clock
  readonly options: () => FleetOptions
}

/** The relay for every list. Throws `no_node` when no node is up. */
export function createLists(deps: ListDeps): Relay {
  return async (request, call) => {
    const make = makers[request.route.pattern]
    if (make === undefined) throw new Error(`no list for ${request.route.pattern}`)
    const nodes = usableNodes(deps.nodes(), call.principal.nodeGroup)
    const text = await make(deps, nodes)
    const body = Buffer.from(request.route.dialect === 'openai' ? `${text}\n` : text)
    return wholeAnswer(call, { headers: jsonHeaders(request.route), body, reason: 'aggregate' })
  }
}

type Maker = (deps: ListDeps, nodes: readonly FleetNode[]) => Promise<string>

const makers: Readonly<Record<string, Maker>> = {
  '/api/version': listVersion,
  '/api/tags': async (deps, nodes) => JSON.stringify({ models: (await mergedTags(deps, nodes)).map(({ raw }) => raw) }),
  '/v1/models': listOpenAiModels,
  '/api/ps': listLoaded,
  '/api/status': listStatus,
}

/** Resolves when `work` does or the operation deadline passes. */
function withDeadline({ clock, options }: ListDeps, work: Promise<unknown>): Promise<void> {
  return waitAtMost(options().operations.timeoutMs, clock, work)
}

/** The lowest version: a client must not rely on what one node lacks. */
async function listVersion(deps: ListDeps, nodes: readonly FleetNode[]): Promise<string> {
  if (nodes.every((node) => node.version === null)) await withDeadline(deps, Promise.all(nodes.map((node) => deps.prober.probeNow(node))))
  const versions = usableNodes(nodes, null)
    .map((node) => node.version)
    .filter((version) => version !== null)
  const lowest = versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))[0]
  return JSON.stringify({ version: lowest ?? '0.0.0' })
}

/** A model under one of its names. */
interface ShownTag extends ModelTag {
  readonly shown: string
}

/**
 * One row per name, the one at the digest that is balanced over; newest first. An alias stands beside the model behind it, with
 * the facts of that one, and hides a model of its own name, which nobody can ask for.
 */
async function mergedTags(deps: ListDeps, nodes: readonly FleetNode[]): Promise<readonly ShownTag[]> {
  const unread = nodes.filter((node) => !node.modelsKnown)
  if (unread.length > 0) await withDeadline(deps, Promise.all(unread.map((node) => deps.prober.refreshModels(node))))
  const merged = new Map<string, ModelTag>()
  for (const node of nodes) {
    for (const [name, tag] of node.models) {
      if (!merged.has(name) || tag.digest === deps.catalogue.resolve(name).digest) merged.set(name, tag)
    }
  }
  const { aliases } = deps.catalogue
  const own = [...merged].filter(([name]) => !aliases.has(name)).map(([, tag]) => ({ ...tag, shown: tag.name }))
  const others = [...aliases.values()].flatMap(({ name, model }) => {
    const tag = merged.get(model)
    return tag === undefined ? [] : [{ ...tag, shown: name, raw: { ...tag.raw, name, model: name } }]
  })
  return [...own, ...others].toSorted((a, b) => compareInstants(b.modifiedAt, a.modifiedAt))
}

async function listOpenAiModels(deps: ListDeps, nodes: readonly FleetNode[]): Promise<string> {
  const data = (await mergedTags(deps, nodes)).map(({ shown, name, modifiedAt }) => ({
    id: shown,
    object: 'model',
    created: Math.floor(Date.parse(modifiedAt) / 1_000),
    owned_by: ownerOf(name),
  }))
  return JSON.stringify({ object: 'list', data: data.length === 0 ? null : data })
}

/** The namespace of a model name: `library` where it has none. */
function ownerOf(name: string): string {
  return name.split('/').at(-2) ?? 'library'
}

async function listLoaded(deps: ListDeps, nodes: readonly FleetNode[]): Promise<string> {
  await withDeadline(deps, Promise.all(nodes.map((node) => deps.prober.refreshLoaded(node))))
  const byName = new Map<string, LoadedModel[]>()
  for (const node of nodes) {
    for (const [name, model] of node.loaded) byName.set(name, [...(byName.get(name) ?? []), model])
  }
  const merged = [...byName.values()].map(mergeLoaded).toSorted((a, b) => b.expiresAtMs - a.expiresAtMs)
  return JSON.stringify({ models: merged.map(({ raw }) => raw) })
}

/** Sizes add up, the context is the smallest, the expiry the latest (ollama-contract.md §3.2). */
function mergeLoaded(copies: readonly LoadedModel[]): { raw: Record<string, unknown>; expiresAtMs: number } {
  const latest = copies.reduce((a, b) => (b.expiresAtMs > a.expiresAtMs ? b : a))
  const contexts = copies.map(({ contextLength }) => contextLength).filter((length) => length !== null)
  const raw: Record<string, unknown> = {
    ...latest.raw,
    size: copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    size_vram: copies.reduce((sum, { vramBytes }) => sum + vramBytes, 0),
  }
  if (contexts.length > 0) raw.context_length = Math.min(...contexts)
  return { raw, expiresAtMs: latest.expiresAtMs }
}

/** Cloud models are off when the gateway refuses them or every node does. */
async function listStatus(deps: ListDeps, nodes: readonly FleetNode[]): Promise<string> {
  if (!deps.options().cloudModels) return JSON.stringify({ cloud: { disabled: true, source: 'config' } })
  const { timeoutMs } = deps.options().operations
  const answers = await Promise.allSettled(
    nodes.map((node) => node.transport.request({ method: 'GET', path: '/api/status', headers: [], body: null }, { timeoutMs })),
  )
  const bodies = answers.flatMap((answer) =>
    answer.status === 'fulfilled' && answer.value.status === 200 ? [answer.value.body.toString()] : [],
  )
  const enabled = bodies.find((body) => body.includes('"disabled":false'))
  return enabled ?? bodies[0] ?? JSON.stringify({ cloud: { disabled: false, source: 'none' } })
}
