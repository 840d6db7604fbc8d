/** `corral collections ls|show|create|set|reingest|rm|purge`: collections of documents. What removes something counts unless `--yes` is said. */
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import { gatewayOf, type GatewayOptions } from '../gateway.ts'
import { painter, printable, printData, printJson, printMessage, table } from '../output.ts'
import { allCollections, askRag, collectionPath, collectionView, type CollectionView, ragRequest } from './rag-api.ts'
import { countText, numberText } from './ingest-progress.ts'

/** What one collection may have of its own, as flags. */
export interface SettingFlags {
  readonly embedder?: string
  readonly language?: string
  readonly fusionWeight?: string
  readonly retentionDays?: string
  readonly targetTokens?: string
  readonly maxTokens?: string
  readonly overlapTokens?: string
  readonly vectorStorage?: string
}

const reingested = z.object({ jobs: z.number(), withoutBytes: z.number() })

type SettingOptions = GatewayOptions & SettingFlags
type RemoveOptions = GatewayOptions & { readonly yes?: boolean }

export async function collectionsLsCommand(options: GatewayOptions): Promise<void> {
  const collections = await allCollections(await gatewayOf(options))
  if (options.json === true) return printJson(collections)
  if (collections.length === 0) return printMessage('no collection yet: make one with "corral ingest PATH"')
  const paint = painter(process.stdout)
  const head = ['COLLECTION', 'DOCUMENTS', 'CHUNKS', 'EMBEDDER', 'CHANGED'].map((text) => paint('dim', text))
  const rows = collections.map(({ name, documents, chunks, settings, updatedAt }) => [
    printable(name),
    numberText(documents),
    numberText(chunks),
    printable(settings.embedder ?? 'none: words only'),
    printable(updatedAt.slice(0, 16).replace('T', ' ')),
  ])
  printData(table([head, ...rows]))
}

export async function collectionsShowCommand(name: string, options: GatewayOptions): Promise<void> {
  show(await askRag(await gatewayOf(options), collectionView, ['GET', collectionPath(name)]), options)
}

export async function collectionsCreateCommand(name: string, options: SettingOptions): Promise<void> {
  const settings = await settingsOfFlags(options, null)
  const made = await askRag(await gatewayOf(options), collectionView, ['POST', '/rag/collections', { name, settings }])
  if (options.json === true) return printJson(made)
  printMessage(
    `collection ${printable(name)} made, ${embedderText(made)}; put documents in with "corral ingest PATH --collection ${printable(name)}"`,
  )
}

export async function collectionsSetCommand(name: string, options: SettingOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const present = await askRag(gateway, collectionView, ['GET', collectionPath(name)])
  const settings = await settingsOfFlags(options, present)
  if (Object.keys(settings).length === 0) throw new CliError(exitCodes.usage, 'nothing to set: see corral collections set --help')
  const changed = await askRag(gateway, collectionView, ['PATCH', collectionPath(name), { settings }])
  if (options.json === true) return printJson(changed)
  printMessage(`collection ${printable(name)} changed, ${embedderText(changed)}`)
  if (changed.documents > 0 && madeBy.some((setting) => Object.hasOwn(settings, setting)))
    printMessage(`documents that are there stay as they are until "corral collections reingest ${printable(name)}"`)
}

/** What documents are made by, once. */
const madeBy = ['embedder', 'language', 'chunking']

/** Asks for every document to be made again, by what the collection is set to now. */
export async function collectionsReingestCommand(name: string, options: GatewayOptions): Promise<void> {
  const begun = await askRag(await gatewayOf(options), reingested, ['POST', collectionPath(name, '/reingest')])
  if (options.json === true) return printJson(begun)
  printMessage(`${countText(begun.jobs, 'document')} of ${printable(name)} to be made again; "corral jobs ls" shows how far they are`)
  if (begun.withoutBytes > 0)
    printMessage(`the bytes of ${countText(begun.withoutBytes, 'document')} are not kept: give them again with "corral ingest"`)
}

export async function collectionsRmCommand(name: string, options: RemoveOptions): Promise<void> {
  const { gateway, present } = await judged(name, options, 'rm')
  await ragRequest(gateway, ['DELETE', collectionPath(name)])
  if (options.json === true) return printJson({ name, removed: true })
  printMessage(`collection ${printable(name)} removed, with ${countText(present.documents, 'document')}`)
}

export async function collectionsPurgeCommand(name: string, options: RemoveOptions): Promise<void> {
  const { gateway, present } = await judged(name, options, 'purge')
  const emptied = await askRag(gateway, collectionView, ['POST', collectionPath(name, '/purge')])
  if (options.json === true) return printJson(emptied)
  printMessage(`collection ${printable(name)} emptied of ${countText(present.documents, 'document')}; its settings stay`)
}

/** The collection to be emptied or removed. Exit code 2 with what would go, unless `--yes` is said. */
async function judged(name: string, options: RemoveOptions, verb: string) {
  const gateway = await gatewayOf(options)
  const present = await askRag(gateway, collectionView, ['GET', collectionPath(name)])
  if (options.yes === true) return { gateway, present }
  const what = `${countText(present.documents, 'document')} (${countText(present.chunks, 'chunk')})`
  throw new CliError(
    exitCodes.usage,
    `${printable(name)} holds ${what}: "corral collections ${verb} ${printable(name)} --yes" removes them`,
  )
}

function embedderText({ settings: { embedder } }: CollectionView): string {
  return embedder === null ? 'by words only' : `embedder ${printable(embedder)}`
}

function show(collection: CollectionView, { json }: GatewayOptions): void {
  if (json === true) printJson(collection)
  else printData(table(rowsOf(collection, '')))
}

function rowsOf(value: object, path: string): string[][] {
  return Object.entries(value).flatMap(([key, child]: [string, unknown]) => {
    const name = path === '' ? key : `${path}.${key}`
    if (typeof child === 'object' && child !== null) return rowsOf(child, name)
    return [[printable(name), printable(typeof child === 'string' ? child : (JSON.stringify(child) ?? ''))]]
  })
}

/** The settings that the flags name; chunking is given whole, with what it is now for the rest. */
async function settingsOfFlags(flags: SettingFlags, present: CollectionView | null): Promise<Record<string, unknown>> {
  const { embedder, language, vectorStorage } = flags
  const [fusionWeight, retentionDays] = [flags.fusionWeight, flags.retentionDays].map(valueOf)
  const tokens = withoutUndefined({
    targetTokens: valueOf(flags.targetTokens),
    maxTokens: valueOf(flags.maxTokens),
    overlapTokens: valueOf(flags.overlapTokens),
  })
  const chunking = Object.keys(tokens).length === 0 ? undefined : { ...(await chunkingNow(present)), ...tokens }
  return withoutUndefined({
    embedder: embedder === 'none' ? null : embedder,
    language,
    fusionWeight,
    retentionDays,
    chunking,
    vectorStorage,
  })
}

/** A new collection begins with the defaults of `search.defaults.chunking` as they are shipped. */
async function chunkingNow(present: CollectionView | null): Promise<object> {
  const now: unknown = present?.settings['chunking']
  if (typeof now === 'object' && now !== null) return now
  const { searchOptions } = await import('../../search/options.ts')
  return searchOptions.parse({}).defaults.chunking
}

function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

/** A number; `none` is null. Exit code 2 for anything else. */
function valueOf(text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined
  if (text === 'none') return null
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new CliError(exitCodes.usage, `expected a number: ${printable(text)}`)
  return value
}
