/** `corral documents ls|show|rm`: what a collection holds, one by one. */
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import { gatewayOf, type GatewayOptions } from '../gateway.ts'
import { painter, printable, printData, printJson, printMessage, table } from '../output.ts'
import { countText, numberText } from './ingest-progress.ts'
import { allPages, askRag, collectionPath, ragRequest } from './rag-api.ts'

const documentView = z.looseObject({
  id: z.string(),
  title: z.string(),
  contentType: z.string(),
  chunks: z.number(),
  revision: z.number(),
  updatedAt: z.string(),
})

const documentPage = z
  .object({ documents: z.array(documentView), next: z.string().nullable() })
  .transform(({ documents: rows, next }) => ({ rows, next }))

const documentPath = (collection: string, id: string): string => collectionPath(collection, `/documents/${encodeURIComponent(id)}`)

export interface RemoveDocumentsOptions extends GatewayOptions {
  readonly purge?: boolean
  readonly yes?: boolean
}

export async function documentsLsCommand(collection: string, options: GatewayOptions): Promise<void> {
  const documents = await allPages(await gatewayOf(options), collectionPath(collection, '/documents'), documentPage)
  if (options.json === true) return printJson(documents)
  if (documents.length === 0)
    return printMessage(`no document in ${printable(collection)} yet: "corral ingest PATH --collection ${printable(collection)}"`)
  const paint = painter(process.stdout)
  const head = ['DOCUMENT', 'TITLE', 'TYPE', 'CHUNKS', 'CHANGED'].map((text) => paint('dim', text))
  const rows = documents.map(({ id, title, contentType, chunks, updatedAt }) => [
    printable(id),
    printable(title),
    printable(contentType),
    numberText(chunks),
    printable(updatedAt.slice(0, 16).replace('T', ' ')),
  ])
  printData(table([head, ...rows]))
}

export async function documentsShowCommand(collection: string, id: string, options: GatewayOptions): Promise<void> {
  const document = await askRag(await gatewayOf(options), documentView, ['GET', documentPath(collection, id)])
  if (options.json === true) return printJson(document)
  printData(
    table(Object.entries(document).map(([name, value]) => [name, printable(typeof value === 'string' ? value : JSON.stringify(value))])),
  )
}

/** Those before one that is not there are removed, and named. Exit code 2 for `--purge` unless `--yes` is said: it reaches further than the ids. */
export async function documentsRmCommand(collection: string, ids: readonly string[], options: RemoveDocumentsOptions): Promise<void> {
  if (options.purge === true && options.yes !== true) {
    const reach = 'all that is cached for the tenant, and the texts of its answers'
    throw new CliError(exitCodes.usage, `--purge removes, besides the documents, ${reach}: with --yes it does`)
  }
  const gateway = await gatewayOf(options)
  const query = options.purge === true ? '?purge=true' : ''
  const removed: string[] = []
  try {
    for (const id of ids) {
      await ragRequest(gateway, ['DELETE', `${documentPath(collection, id)}${query}`])
      removed.push(id)
      if (options.json !== true) printMessage(`${printable(id)} removed from ${printable(collection)}`)
    }
  } finally {
    if (options.json === true) printJson({ collection, removed })
    else if (removed.length > 1) printMessage(`${countText(removed.length, 'document')} removed`)
  }
}
