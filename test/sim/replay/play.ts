/**
 * Plays recorded exchanges against a node of their own: the exchange itself, what happened around it (`scenes.ts`) and the
 * state that earlier exchanges of the recording left behind.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { randomSequence } from '../../../src/sim/hash.ts'
import type { SimNode } from '../../../src/sim/node.ts'
import { differenceOf } from './compare.ts'
import { scenes, sceneDelayMs, type SceneContext } from './scenes.ts'
import { startStage } from './stage.ts'
import type { Transcript } from './transcript.ts'
import { WireClient, type Exchange } from './wire-client.ts'

export interface Run {
  readonly title: string
  readonly seed: number
  rename(text: string): string
  reword(text: string): string
}

type Table = readonly (readonly [RegExp, string])[]

const names: Table = [
  [/SMOLLM2/g, 'ACORNLM'],
  [/SmolLM2:/g, 'AcornLM:'],
  [/smollm2/g, 'acornlm'],
  [/all-minilm/g, 'pebble-em'],
  [/\btiny\b/g, 'mote'],
  [/pirate/g, 'sailor'],
  [/\btemp\b/g, 'brief'],
]
const prompts: Table = [
  [/Name three colors\./g, 'List four rivers of Asia.'],
  [/The capital of France is/g, 'The tallest tree on earth is'],
  [/Write a very long story/g, 'Compose an endless poem'],
  [/What is 1\+1\?/g, 'What is 7+5?'],
  [/The sky is blue\./g, 'Snow falls in winter.'],
]

function replaced(text: string, table: Table): string {
  return table.reduce((now, [pattern, by]) => now.replace(pattern, by), text)
}

export const runs: readonly [Run, Run] = [
  { title: 'as recorded', seed: 1, rename: (text) => text, reword: (text) => text },
  { title: 'with other names and prompts', seed: 2, rename: (text) => replaced(text, names), reword: (text) => replaced(text, prompts) },
]

/** The exchange under this run's names; its prompts change on the way out only. */
function adapted(transcript: Transcript, run: Run): { wanted: Transcript; sent: Transcript['request'] } {
  const wanted = JSON.parse(run.rename(JSON.stringify(transcript))) as Transcript
  const sent = JSON.parse(run.reword(JSON.stringify(wanted.request))) as Transcript['request']
  return { wanted, sent: sent.bodyBase64 === undefined ? sent : { ...sent, bodyBase64: renamedBytes(sent, sent.bodyBase64, run) } }
}

/** Names inside bodies that are no text: a packed JSON body, a form. */
function renamedBytes(request: Transcript['request'], base64: string, run: Run): string {
  const bytes = Buffer.from(base64, 'base64')
  const renamed = (body: Buffer): Buffer => Buffer.from(run.rename(body.toString('latin1')), 'latin1')
  if (request.headers['content-encoding'] === 'zstd' && request.path.startsWith('/v1/'))
    return zstdCompressSync(renamed(zstdDecompressSync(bytes))).toString('base64')
  return request.headers['content-type']?.startsWith('multipart/') === true ? renamed(bytes).toString('base64') : base64
}

/** The variant of the node that an exchange was recorded with. */
export function nodeKey(transcript: Transcript): string {
  if (transcript.server !== 'default') return transcript.server
  return transcript.group === 'failure' ? 'failure' : 'default'
}

/** Groups of exchanges that share a node, in an order of the seed. */
export function groupsOf(transcripts: readonly Transcript[], seed: number): Transcript[][] {
  const groups = new Map<string, Transcript[]>()
  for (const transcript of transcripts) {
    const key = `${transcript.group} ${transcript.server}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [transcript])
    else group.push(transcript)
  }
  const random = randomSequence(seed)
  return [...groups.values()]
    .map((group) => ({ group, rank: random() }))
    .toSorted((one, other) => one.rank - other.rank)
    .map(({ group }) => group)
}

/** What happened to `node` before the exchange. */
export async function prepare(node: SimNode, { number }: Transcript, { rename }: Run): Promise<void> {
  await scenes.get(number)?.before?.({ node, client: new WireClient(node.port), rename })
}

/** Plays one exchange by `client`, with what happened to `node` while it went on and after it. */
export async function play(
  node: SimNode,
  transcript: Transcript,
  run: Run,
  client: WireClient,
): Promise<{ wanted: Transcript; got: Exchange }> {
  const { wanted, sent } = adapted(transcript, run)
  const scene = scenes.get(transcript.number)
  const context: SceneContext = { node, client, rename: run.rename }
  let third = scene?.onThirdFrame
  const timer = scene?.later === undefined ? null : setTimeout(() => scene.later?.(context), sceneDelayMs)
  const got = await client.exchange(sent, (count) => {
    if (count < 3) return
    third?.(context)
    third = undefined
  })
  if (timer !== null) clearTimeout(timer)
  await scene?.after?.(context)
  return { wanted, got }
}

const afterCreate: ReadonlySet<string> = new Set(['chat', 'openai', 'anthropic', 'registry', 'cors', 'failure'])

/** Exchanges whose models those of `group` use. */
export function preludeOf([first]: readonly Transcript[], transcripts: readonly Transcript[]): readonly Transcript[] {
  const needsModels = first?.server === 'default' && afterCreate.has(first.group)
  return needsModels ? transcripts.filter(({ group }) => group === 'create') : []
}

/** Plays a group after the exchanges of `prelude`; returns what differed. */
export async function playGroup(group: readonly Transcript[], prelude: readonly Transcript[], run: Run): Promise<string[]> {
  const first = group[0]
  if (first === undefined) return []
  const node = await startStage(nodeKey(first), run.rename)
  const problems: string[] = []
  const quiet = async (transcript: Transcript): Promise<void> => {
    const client = new WireClient(node.port)
    await client.exchange(adapted(transcript, run).sent)
    await scenes.get(transcript.number)?.after?.({ node, client, rename: run.rename })
    client.close()
  }
  for (const transcript of prelude) await quiet(transcript)
  let kept: WireClient | null = null
  for (const transcript of group) {
    await prepare(node, transcript, run)
    const client: WireClient = kept ?? new WireClient(node.port)
    const { wanted, got } = await play(node, transcript, run, client)
    const difference = differenceOf(wanted, got)
    if (difference !== null) problems.push(`${transcript.name}: ${difference}`)
    kept = transcript.name === '037-keep-alive-first' ? client : null
    if (kept === null) client.close()
  }
  await node.close()
  return problems
}
