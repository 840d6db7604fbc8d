/** Whether the fleet has what a collection is embedded with, told before anything is sent. */
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import type { Gateway } from '../gateway.ts'
import { printable, printMessage } from '../output.ts'
import type { CollectionView } from './rag-api.ts'

const tagsAnswer = z.object({ models: z.array(z.object({ name: z.string() })).nullish() })

const usualEmbedder = 'nomic-embed-text'

/** Exit code 1, with what to pull, when no node has the embedder and somebody waits for it. */
export async function checkEmbedder(
  gateway: Gateway,
  { name, settings: { embedder } }: CollectionView,
  { wait, json }: { readonly wait: boolean; readonly json?: boolean },
): Promise<void> {
  if (embedder === null) {
    if (json !== true) printMessage(`${printable(name)} is found by words only. ${adviceFor(name)}`)
    return
  }
  const held = await modelsOf(gateway)
  if (held === null || held.has(canonical(embedder))) return
  const text = `no node has ${printable(embedder)}, which embeds the collection ${printable(name)}: "corral models pull ${printable(embedder)}"`
  if (wait) throw new CliError(exitCodes.failure, text)
  printMessage(`corral: warning: ${text}`)
}

function adviceFor(collection: string): string {
  const [name, embedder] = [printable(collection), usualEmbedder]
  return `By meaning as well: corral models pull ${embedder} && corral collections set ${name} --embedder ${embedder} && corral collections reingest ${name}`
}

/** Null when this key may not know, or nobody can say now. */
async function modelsOf(gateway: Gateway): Promise<ReadonlySet<string> | null> {
  try {
    const parsed = tagsAnswer.safeParse(await gateway.request('GET', '/api/tags'))
    return parsed.success ? new Set((parsed.data.models ?? []).map(({ name }) => canonical(name))) : null
  } catch {
    return null
  }
}

function canonical(model: string): string {
  return (model.includes(':') ? model : `${model}:latest`).toLowerCase()
}
