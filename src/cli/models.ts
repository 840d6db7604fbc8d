/** `corral models ls|pull`: what the fleet holds, and fetching a model onto its nodes. */
import { z } from 'zod'

import { CliError, exitCodes } from './exit-code.ts'
import type { FleetView } from './fleet-view.ts'
import { type Gateway, gatewayOf, type GatewayOptions, reasonOf, wordsOf } from './gateway.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'
import { createPullProgress, pullLine, type PullLine } from './pull-progress.ts'

const tagsAnswer = z.object({ models: z.array(z.object({ name: z.string(), size: z.number(), modified_at: z.string() })).nullish() })

/** Longest line of a pull that is kept while its end has not come. */
const lineBytesMax = 1_048_576

/** Bytes for people: `4.7 GB`. Decimal, as Ollama shows them. */
export function sizeText(sizeBytes: number): string {
  if (sizeBytes >= 1e9) return `${(sizeBytes / 1e9).toFixed(1)} GB`
  if (sizeBytes >= 1e6) return `${(sizeBytes / 1e6).toFixed(0)} MB`
  return `${Math.ceil(sizeBytes / 1e3)} KB`
}

/** Which nodes hold and have loaded a model; nothing when the gateway does not tell (features.admin off). */
async function holdersOf(gateway: Gateway): Promise<FleetView | null> {
  return gateway.fleet().catch(() => null)
}

/** Lists the models of all nodes together. */
export async function modelsLsCommand(options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const parsed = tagsAnswer.safeParse(await gateway.request('GET', '/api/tags'))
  if (!parsed.success) throw new CliError(exitCodes.failure, `${gateway.url}/api/tags did not answer a list of models`)
  const models = (parsed.data.models ?? []).toSorted((a, b) => a.name.localeCompare(b.name))
  const fleet = await holdersOf(gateway)
  const nodesWith = (name: string): string[] =>
    (fleet?.nodes ?? []).filter((node) => node.models?.includes(name) === true).map((node) => node.name)
  const loadedOn = (name: string): string[] =>
    (fleet?.nodes ?? []).filter(({ loaded }) => loaded.some(({ model }) => model === name)).map((node) => node.name)
  if (options.json === true) {
    return printJson(
      models.map(({ name, size, modified_at }) => ({
        name,
        sizeBytes: size,
        modifiedAt: modified_at,
        nodes: nodesWith(name),
        loadedOn: loadedOn(name),
      })),
    )
  }
  if (models.length === 0) return printMessage('no node holds a model: get one with "corral models pull llama3.2"')
  const paint = painter(process.stdout)
  const head = ['MODEL', 'SIZE', 'NODES', 'LOADED ON'].map((text) => paint('dim', text))
  const rows = models.map(({ name, size }) => [
    printable(name),
    sizeText(size),
    // Of an alias or an assistant no node knows the name.
    String(nodesWith(name).length || '-'),
    loadedOn(name).join(', ') || '-',
  ])
  printData(table([head, ...rows]))
}

/** Lines of an NDJSON body. */
async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) return
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of response.body) {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > lineBytesMax) throw new Error('the answer has a line without end')
    yield* lines.filter((line) => line.trim() !== '')
  }
  if (rest.trim() !== '') yield rest
}

function parseLine(line: string): PullLine | null {
  try {
    const parsed = pullLine.safeParse(JSON.parse(line))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}

/** Pulls onto the nodes: a bar on a terminal, a line per change of state elsewhere, the raw lines with `--json`. */
export async function modelsPullCommand(model: string, options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const response = await gateway.open('/api/pull', { model, stream: true })
  const progress = createPullProgress(process.stderr)
  let failure: string | null = null
  let isDone = false
  try {
    for await (const text of linesOf(response)) {
      if (options.json === true) printData(text)
      const line = parseLine(text)
      failure = wordsOf(text) ?? failure
      if (line?.status === 'success') isDone = true
      if (line !== null && options.json !== true) progress.show(line)
    }
  } catch (error) {
    failure = `the gateway went away: ${reasonOf(error)}`
  }
  progress.end()
  if (failure !== null) throw new CliError(exitCodes.failure, `pull of ${printable(model)}: ${failure}`)
  if (!isDone) throw new CliError(exitCodes.failure, `pull of ${printable(model)} ended without a result`)
  printMessage(`pulled ${printable(model)}`)
}
