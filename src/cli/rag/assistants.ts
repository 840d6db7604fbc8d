/** `corral assistants ls|show|put|rm`: models that answer from collections, for any client. */
import { readFile } from 'node:fs/promises'

import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import { type Gateway, gatewayOf, type GatewayOptions, GatewayError } from '../gateway.ts'
import { painter, printable, printData, printJson, printMessage, table } from '../output.ts'
import { allPages, askRag, ragRequest } from './rag-api.ts'

const assistantView = z.looseObject({
  name: z.string(),
  title: z.string(),
  collections: z.array(z.string()),
  model: z.string(),
  prompt: z.string(),
  settings: z.record(z.string(), z.unknown()),
  warnings: z.array(z.string()).default([]),
})
type AssistantView = z.infer<typeof assistantView>

const assistantPage = z
  .object({ assistants: z.array(assistantView), next: z.string().nullable() })
  .transform(({ assistants: rows, next }) => ({ rows, next }))

export interface PutOptions extends GatewayOptions {
  readonly collection?: readonly string[]
  readonly model?: string
  readonly title?: string
  readonly prompt?: string
  readonly promptFile?: string
  readonly set?: readonly string[]
}

export async function assistantsLsCommand(options: GatewayOptions): Promise<void> {
  const assistants = await allPages(await gatewayOf(options), '/rag/assistants', assistantPage)
  if (options.json === true) return printJson(assistants)
  if (assistants.length === 0) return printMessage('no assistant yet: "corral assistants put handbook --collection docs --model llama3.2"')
  const paint = painter(process.stdout)
  const head = ['ASSISTANT', 'MODEL', 'COLLECTIONS', 'TITLE'].map((text) => paint('dim', text))
  const rows = assistants.map(({ name, model, collections, title }) => [name, model, collections.join(', '), title].map(printable))
  printData(table([head, ...rows]))
}

export async function assistantsShowCommand(name: string, options: GatewayOptions): Promise<void> {
  const { title, collections, model, prompt, settings, warnings, ...rest } = await read(await gatewayOf(options), name)
  if (options.json === true) return printJson({ ...rest, title, collections, model, prompt, settings, warnings })
  const facts = [
    ['name', name],
    ['title', title],
    ['model', model],
    ['collections', collections.join(', ')],
    ...Object.entries(settings).map(([key, value]) => [key, JSON.stringify(value)]),
    ...warnings.map((warning) => ['warning', warning]),
  ]
  printData(table(facts.map((row) => row.map(printable))))
  if (prompt !== '') printData(`\n${prompt.split('\n').map(printable).join('\n')}`)
}

/** Makes one, or changes of one what the flags name. */
export async function assistantsPutCommand(name: string, options: PutOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const before = await readIfThere(gateway, name)
  const wish = { ...wishOf(before), ...(await changesOf(options)) }
  if (wish.model === undefined || wish.collections === undefined) {
    throw new CliError(exitCodes.usage, 'a new assistant needs --model and --collection')
  }
  const settings = { ...before?.settings, ...settingsOf(options.set ?? []) }
  const path = `/rag/assistants/${encodeURIComponent(name)}`
  const put = await askRag(gateway, assistantView, ['PUT', path, { name, ...wish, settings }])
  if (options.json === true) return printJson(put)
  for (const warning of put.warnings) printMessage(painter(process.stderr)('yellow', `warning: ${printable(warning)}`))
  printMessage(
    `assistant ${printable(name)} ${before === null ? 'made' : 'changed'}; ask it with any client: OLLAMA_HOST=${gateway.url} ollama run ${printable(name)}`,
  )
}

export async function assistantsRmCommand(name: string, options: GatewayOptions): Promise<void> {
  await ragRequest(await gatewayOf(options), ['DELETE', `/rag/assistants/${encodeURIComponent(name)}`])
  if (options.json === true) printJson({ name, removed: true })
  else printMessage(`assistant ${printable(name)} removed; its collections stay`)
}

function read(gateway: Gateway, name: string): Promise<AssistantView> {
  return askRag(gateway, assistantView, ['GET', `/rag/assistants/${encodeURIComponent(name)}`])
}

async function readIfThere(gateway: Gateway, name: string): Promise<AssistantView | null> {
  try {
    return await read(gateway, name)
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'assistant_not_found') return null
    throw error
  }
}

interface Wish {
  readonly model?: string
  readonly collections?: readonly string[]
  readonly title?: string
  readonly prompt?: string
}

function wishOf(before: AssistantView | null): Wish {
  if (before === null) return {}
  const { model, collections, title, prompt } = before
  return { model, collections, title, prompt }
}

async function changesOf({ model, collection, title, prompt, promptFile }: PutOptions): Promise<Wish> {
  if (prompt !== undefined && promptFile !== undefined) throw new CliError(exitCodes.usage, '--prompt and --prompt-file: one of them')
  const said = promptFile === undefined ? prompt : await readPrompt(promptFile)
  return {
    ...(model === undefined ? {} : { model }),
    ...(collection === undefined ? {} : { collections: collection }),
    ...(title === undefined ? {} : { title }),
    ...(said === undefined ? {} : { prompt: said }),
  }
}

async function readPrompt(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CliError(exitCodes.usage, `--prompt-file ${printable(file)}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** `passages=4` as JSON values; what is no JSON is a text. */
function settingsOf(pairs: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw new CliError(exitCodes.usage, `--set: expected setting=value: ${printable(pair)}`)
      const text = pair.slice(at + 1)
      try {
        const value: unknown = JSON.parse(text)
        return [pair.slice(0, at), value]
      } catch {
        return [pair.slice(0, at), text]
      }
    }),
  )
}
