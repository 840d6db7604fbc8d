// The stations of the demo. Each does something with the running gateway, prints what came out, and fails when it is not what Corral promises,
// so that the demo is a smoke test as well.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCorral } from './command.ts'
import { chat, chatMany, type ChatResult, embed, listModels, readMetrics } from './requests.ts'

/** A node that the tour may stop and start again. */
export interface TourNode {
  readonly name: string
  readonly url: string
  kill(): Promise<unknown> | void
  restart(): Promise<unknown> | void
}

export interface TourScene {
  readonly gatewayUrl: string
  readonly nodes: readonly TourNode[]
  readonly chatModel: string
  readonly embedModel: string
  readonly say: (line: string) => void
}

interface Station {
  readonly title: string
  visit(scene: TourScene): Promise<void>
}

const backWithinMs = 2_000
const docsFolder = join(import.meta.dirname, '../../docs')
const question = 'What happens when a node dies in the middle of a stream?'

const stations: readonly Station[] = [
  { title: 'One endpoint: the models of all nodes in one list', visit: visitModels },
  { title: 'A streamed chat, and where it was answered', visit: visitChat },
  { title: 'Load: 96 chats, 16 at once', visit: visitLoad },
  { title: 'An embedding batch, cut over all nodes', visit: visitEmbeddings },
  { title: 'A node dies under load, and comes back', visit: visitDeath },
  { title: 'Documents in, cited answers out: corral ingest ./docs && corral ask "…"', visit: visitDocuments },
  { title: 'What the metrics say', visit: visitMetrics },
]

/** Visits every station in order; throws at the first that does not keep its promise. */
export async function takeTour(scene: TourScene): Promise<void> {
  for (const [index, station] of stations.entries()) {
    scene.say(`\n${index + 1}. ${station.title}`)
    await station.visit(scene)
  }
}

async function visitModels({ gatewayUrl, nodes, say }: TourScene): Promise<void> {
  const models = await listModels(gatewayUrl)
  say(`   ${nodes.length} nodes, ${models.length} models: ${models.join(', ')}`)
  require(models.length > 0, 'the list of models is empty')
}

async function visitChat({ gatewayUrl, chatModel, say }: TourScene): Promise<void> {
  const result = await chat(gatewayUrl, chatModel, 'Why do sheep need a dog?')
  require(result.ok, `the chat failed: ${result.text}`)
  say(`   ${chatModel} on ${result.node} (${result.route}), first token after ${formatMs(result.firstFrameMs)}`)
  say(`   “${result.text.slice(0, 110).trim()}…”`)
}

async function visitLoad({ gatewayUrl, chatModel, say }: TourScene): Promise<void> {
  const results = await chatMany(gatewayUrl, chatModel, { count: 96, atOnce: 16 })
  for (const line of renderShares(results)) say(`   ${line}`)
  requireAllOk(results)
}

async function visitEmbeddings({ gatewayUrl, nodes, embedModel, say }: TourScene): Promise<void> {
  const inputs = Array.from({ length: 256 }, (_, index) => `Sheep number ${index} jumps over the fence.`)
  const single = nodes[0]?.url ?? gatewayUrl
  const alone = await embed(single, embedModel, inputs)
  const spread = await embed(gatewayUrl, embedModel, inputs)
  say(`   256 inputs: one node ${formatMs(alone.durationMs)}, through Corral ${formatMs(spread.durationMs)}`)
  require(spread.vectors === inputs.length, `${spread.vectors} vectors came back for ${inputs.length} inputs`)
}

async function visitDeath({ gatewayUrl, nodes, chatModel, say }: TourScene): Promise<void> {
  const victim = nodes[2] ?? nodes[0]
  if (victim === undefined) return
  await victim.kill()
  const results = await chatMany(gatewayUrl, chatModel, { count: 64, atOnce: 16 })
  const retried = results.filter(({ route }) => route.includes('attempts=')).length
  say(
    `   ${victim.name} is gone: ${results.filter(({ ok }) => ok).length} of ${results.length} chats answered, ${retried} of them by a second node`,
  )
  requireAllOk(results)
  await victim.restart()
  const backMs = await untilServing(gatewayUrl, chatModel, victim.name)
  say(`   started again: it serves after ${formatMs(backMs)}`)
}

/** Milliseconds until an answer comes from `node`. */
async function untilServing(gatewayUrl: string, model: string, node: string): Promise<number> {
  const startedAtMs = performance.now()
  const seen = await waitForNode(gatewayUrl, node)
  require(seen, `${node} was not taken back within ${formatMs(backWithinMs)}`)
  const backMs = performance.now() - startedAtMs
  await chat(gatewayUrl, model, 'Welcome back!')
  return backMs
}

async function waitForNode(gatewayUrl: string, node: string): Promise<boolean> {
  const endMs = performance.now() + backWithinMs
  while (performance.now() < endMs) {
    const lines = await readMetrics(gatewayUrl, [`corral_node_up{node="${node}"}`])
    if (lines.some((line) => line.endsWith(' 1'))) return true
    await sleep(20)
  }
  return false
}

async function visitDocuments({ gatewayUrl, say }: TourScene): Promise<void> {
  const ingested = await runCorral(gatewayUrl, ['ingest', docsFolder, '--collection', 'docs'])
  for (const line of ingested.stderr.trimEnd().split('\n')) say(`   ${line}`)
  require(ingested.ok, 'not all documents were taken')
  say(`   ${question}`)
  const answered = await runCorral(gatewayUrl, ['ask', question, '--collection', 'docs'])
  for (const line of answered.stdout.trimEnd().split('\n')) say(`   ${line}`.trimEnd())
  require(answered.ok, `the question failed: ${answered.stderr}`)
  require(/^\[\d+\] /m.test(answered.stdout), 'the answer names no source')
}

async function visitMetrics({ gatewayUrl, say }: TourScene): Promise<void> {
  const lines = await readMetrics(gatewayUrl, ['corral_requests_total', 'corral_node_up', 'corral_retries_total'])
  for (const line of lines) say(`   ${line}`)
  require(lines.length > 0, 'there are no metrics')
}

function renderShares(results: readonly ChatResult[]): string[] {
  const shares = new Map<string, number>()
  for (const { node } of results) shares.set(node, (shares.get(node) ?? 0) + 1)
  const sorted = [...shares].toSorted(([left], [right]) => left.localeCompare(right))
  return sorted.map(([node, count]) => `${node.padEnd(8)} ${'█'.repeat(count)} ${count}`)
}

function requireAllOk(results: readonly ChatResult[]): void {
  const failed = results.find(({ ok }) => !ok)
  require(failed === undefined, `a chat failed: ${failed?.text}`)
}

function require(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise)
}

function formatMs(durationMs: number): string {
  return durationMs < 1_000 ? `${Math.round(durationMs)} ms` : `${(durationMs / 1_000).toFixed(1)} s`
}
