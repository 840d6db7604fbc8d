/**
 * `corral tune COLLECTION --judged FILE`: the weight of vectors against words, learned from queries whose right documents are known, and with
 * `--apply` set. Both legs are asked of a running gateway for each query, as a hybrid search asks them; what each weight would have made of them is
 * worked out here.
 */
import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { type JudgedQuery, type LearnedWeight, learnWeight } from '../search/fuse-learn.ts'
import { legDepth, type LegHit } from '../search/fuse.ts'
import { waitAfter } from './busy-wait.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { type Gateway, GatewayError, gatewayOf, type GatewayOptions } from './gateway.ts'
import { type JudgedLine, readJudged, refusal } from './judged-queries.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'
import { askRag, collectionPath, collectionView, ragRequest } from './rag/rag-api.ts'

export interface TuneWeightOptions extends GatewayOptions {
  readonly judged?: string
  readonly tenant?: string
  readonly apply?: boolean
}

/** Below this a weight is little more than chance. */
const queriesWanted = 20
/** nDCG@10 that a learned weight may lose against the better leg. */
const lossMax = 0.005

interface Learned extends LearnedWeight {
  readonly collection: string
  readonly queries: number
  /** The collection's weight so far. */
  readonly present: number
}

/** Asks both legs, as deep as a search for ten results does, prints the grid, and sets the weight when asked. */
export async function tuneWeightCommand(name: string, options: TuneWeightOptions & { readonly judged: string }): Promise<void> {
  if (options.tenant !== undefined) {
    throw new CliError(exitCodes.usage, '--tenant: with --judged the key in CORRAL_API_KEY tells whose collection it is; leave it out')
  }
  const lines = await readJudged(options.judged)
  const gateway = await gatewayOf(options)
  const { settings } = await askRag(gateway, collectionView, ['GET', collectionPath(name)])
  if (settings.embedder === null) {
    throw new CliError(exitCodes.failure, `collection ${printable(name)} is found by words only: it has no weight to learn`, [
      `give it an embedder with "corral collections set ${printable(name)} --embedder MODEL", then "corral collections reingest ${printable(name)}"`,
    ])
  }
  await checkDocuments(gateway, { name, lines, file: options.judged })
  const queries: JudgedQuery[] = []
  for (const line of lines) queries.push(await askLegs(gateway, name, line))
  const weight = learnWeight(queries)
  if (weight === null) throw new Error('judged queries without a right document')
  const learned: Learned = { ...weight, collection: name, queries: queries.length, present: settings.fusionWeight }
  if (options.json !== true) show(learned)
  const applied = options.apply === true
  if (applied) await apply(gateway, learned)
  if (options.json === true) return printJson({ ...learned, applied })
  if (!applied) printMessage('the same with --apply sets it')
}

/** Exit code 2 with the places that name a document which is not there: it could never be found, and would count against every weight. */
async function checkDocuments(
  gateway: Gateway,
  { name, lines, file }: { readonly name: string; readonly lines: readonly JudgedLine[]; readonly file: string },
): Promise<void> {
  const known = new Map<string, boolean>()
  const refused: string[] = []
  for (const { place, documents } of lines) {
    for (const id of documents) {
      const isThere = known.get(id) ?? (await hasDocument(gateway, name, id))
      known.set(id, isThere)
      if (!isThere) {
        refused.push(
          `${place}: collection ${printable(name)} has no document ${JSON.stringify(printable(id))}: name it by its id, or leave it out`,
        )
      }
    }
  }
  if (refused.length > 0) throw refusal(printable(file), refused)
}

async function hasDocument(gateway: Gateway, name: string, id: string): Promise<boolean> {
  try {
    await patiently(() => ragRequest(gateway, ['GET', collectionPath(name, `/documents/${encodeURIComponent(id)}`)]))
    return true
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'document_not_found') return false
    throw error
  }
}

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      const waitMs = waitAfter(error, attempt)
      if (waitMs === null) throw error
      printMessage(`waiting: ${error instanceof Error ? error.message : String(error)}`)
      await systemClock.sleep(waitMs)
    }
  }
}

const legAnswer = z.object({
  results: z.array(
    z.object({
      document: z.object({ id: z.string() }),
      chunk: z.object({ id: z.string() }),
      scores: z.object({ keyword: z.number().nullable(), vector: z.number().nullable() }),
    }),
  ),
  degraded: z.boolean(),
  degradedReason: z.string().nullable(),
})

async function askLegs(gateway: Gateway, name: string, { place, query, documents: relevant }: JudgedLine): Promise<JudgedQuery> {
  const documents = new Map<string, string>()
  const leg = async (mode: 'keyword' | 'vector'): Promise<LegHit[]> => {
    const body = { collection: name, query, mode, limit: legDepth.min }
    const found = await patiently(() => askRag(gateway, legAnswer, ['POST', '/rag/search', body]))
    if (found.degraded) {
      throw new CliError(exitCodes.failure, `${place}: ${printable(found.degradedReason ?? 'the search was degraded')}`, [
        'there is nothing to learn from half a search: try again when the embedder is back ("corral doctor" tells)',
      ])
    }
    return found.results.flatMap(({ document, chunk, scores }) => {
      documents.set(chunk.id, document.id)
      const score = scores[mode]
      return score === null ? [] : [{ key: chunk.id, score }]
    })
  }
  const legs = { keyword: await leg('keyword'), vector: await leg('vector') }
  return { legs, relevant: new Set(relevant), documents }
}

function show({ grid, weight, present, queries, crossValidatedLoss }: Learned): void {
  const paint = painter(process.stdout)
  const nearest = grid.reduce((best, row) => (Math.abs(row.weight - present) < Math.abs(best.weight - present) ? row : best))
  const head = ['WEIGHT', 'nDCG@10', ''].map((text) => paint('dim', text))
  const rows = grid.map((row) => {
    const notes = [
      ...(row.weight === weight ? [paint('green', 'learned')] : []),
      ...(row === nearest ? [row.weight === present ? 'now' : `now ${present}`] : []),
      ...(row.weight === 0 ? ['words alone'] : []),
      ...(row.weight === 1 ? ['vectors alone'] : []),
    ]
    return [row.weight.toFixed(2), row.ndcg.toFixed(3), notes.join(', ')]
  })
  printData(table([head, ...rows]))
  printMessage(`${queries === 1 ? '1 query' : `${queries} queries`}; ${lossText(crossValidatedLoss)}`)
  if (queries < queriesWanted) printMessage(`a weight that fewer than ${queriesWanted} queries teach is little more than chance`)
}

function lossText(loss: number): string {
  const held = 'on queries that it was not learned from'
  if (loss <= 0) return `${held} such a weight is ${(-loss).toFixed(3)} above the better leg alone`
  const verdict = `${held} such a weight is ${loss.toFixed(3)} below the better leg alone`
  return loss > lossMax ? `${verdict}: more queries are needed` : verdict
}

async function apply(gateway: Gateway, { collection, weight }: Learned): Promise<void> {
  const body = { settings: { fusionWeight: weight } }
  const changed = await askRag(gateway, collectionView, ['PATCH', collectionPath(collection), body])
  printMessage(`collection ${printable(collection)} searches with weight ${changed.settings.fusionWeight} for its vectors`)
}
