/** `corral ask QUESTION`: an answer from documents as it is written, and below it what it stands on. */
import { z } from 'zod'

import { CliError, exitCodes } from '../exit-code.ts'
import { type Gateway, gatewayOf, type GatewayOptions, reasonOf, wordsOf } from '../gateway.ts'
import { painter, printable, printData, printJson, printMessage } from '../output.ts'
import { eventsOf } from './event-stream.ts'
import { asRagError, collectionsMeant } from './rag-api.ts'
import { type CitedSource, readSource, sourceLines } from './source-list.ts'

export interface AskOptions extends GatewayOptions {
  readonly collection?: readonly string[]
  readonly assistant?: string
  readonly model?: string
  readonly sources?: boolean
}

const sourcesEvent = z.object({ sources: z.array(readSource) })
const textEvent = z.object({ text: z.string() })
const doneEvent = z.object({
  citations: z.array(z.object({ number: z.number(), quote: z.string() })),
  unsupported: z.array(z.unknown()),
  degraded: z.boolean(),
  degradedReason: z.string().nullable(),
  doneReason: z.string(),
  refused: z.boolean(),
})
type Done = z.infer<typeof doneEvent>

/** Asks, and prints the answer while it comes; one object with `--json`. */
export async function askCommand(question: string, options: AskOptions): Promise<void> {
  if (question.trim() === '') throw new CliError(exitCodes.usage, 'the question is empty')
  const { assistant, model, collection = [] } = options
  if (assistant !== undefined && (collection.length > 0 || model !== undefined)) {
    throw new CliError(exitCodes.usage, 'an assistant has its own collections and model: leave --collection and --model out')
  }
  const gateway = await gatewayOf(options)
  const from = assistant === undefined ? { collections: await collectionsMeant(gateway, collection) } : { assistant }
  const body = { ...from, ...(model === undefined ? {} : { model }), question, stream: options.json !== true }
  const response = await openChat(gateway, body)
  if (options.json === true) printJson(await response.json())
  else await printAnswer(response, options.sources === true)
}

async function openChat(gateway: Gateway, body: object): Promise<Response> {
  try {
    return await gateway.open('/rag/chat', body)
  } catch (error) {
    throw asRagError(error, gateway)
  }
}

async function printAnswer(response: Response, all: boolean): Promise<void> {
  const printer = new AnswerPrinter(all)
  try {
    for await (const { event, data } of eventsOf(response)) printer.take(event, data)
  } catch (error) {
    printer.stop()
    if (error instanceof CliError) throw error
    throw new CliError(exitCodes.failure, `the answer broke off: ${reasonOf(error)}`)
  }
  printer.end()
}

/** Prints the events of one answer. */
class AnswerPrinter {
  readonly #all: boolean
  #sources: readonly CitedSource[] = []
  #done: Done | null = null
  #isDrawn = false
  #last = '\n'

  constructor(all: boolean) {
    this.#all = all
    this.#status('searching …')
  }

  take(event: string, data: unknown): void {
    if (event === 'sources') {
      this.#sources = sourcesEvent.parse(data).sources
      this.#status(`reading ${this.#sources.length} passages …`)
    } else if (event === 'thinking') this.#status('thinking …')
    else if (event === 'text') this.#write(textEvent.parse(data).text)
    else if (event === 'error') throw new CliError(exitCodes.failure, wordsOf(JSON.stringify(data)) ?? 'the answer failed')
    else if (event === 'done') this.#done = doneEvent.parse(data)
  }

  /** Leaves the terminal in order when no more comes. */
  stop(): void {
    this.#clear()
    if (this.#last !== '\n') process.stdout.write('\n')
  }

  end(): void {
    this.stop()
    if (this.#done === null) throw new CliError(exitCodes.failure, 'the answer ended before it was whole')
    const lines = sourceLines(this.#sources, this.#done.citations, { all: this.#all, paint: painter(process.stdout) })
    if (lines.length > 0) printData(`\n${lines.join('\n')}`)
    for (const warning of warningsOf(this.#done)) printMessage(painter(process.stderr)('yellow', warning))
  }

  #write(text: string): void {
    this.#clear()
    const safe = text.split('\n').map(printableLine).join('\n')
    process.stdout.write(safe)
    this.#last = safe.at(-1) ?? this.#last
  }

  /** What goes on before the first word, where somebody watches. */
  #status(text: string): void {
    if (!process.stderr.isTTY || this.#last !== '\n') return
    process.stderr.write(`\r\u001b[K${painter(process.stderr)('dim', text)}`)
    this.#isDrawn = true
  }

  #clear(): void {
    if (this.#isDrawn) process.stderr.write('\r\u001b[K')
    this.#isDrawn = false
  }
}

function printableLine(line: string): string {
  return line.split('\t').map(printable).join('\t')
}

function warningsOf({ unsupported, degraded, degradedReason, doneReason, refused }: Done): string[] {
  return [
    degraded ? `searched by words only: ${printable(degradedReason ?? 'the embedder is away')}` : '',
    doneReason === 'length' ? 'the answer was cut at its longest' : '',
    unsupported.length > 0 && !refused
      ? `${unsupported.length} of its sentences ${unsupported.length === 1 ? 'has' : 'have'} no source: check ${unsupported.length === 1 ? 'it' : 'them'}`
      : '',
  ].filter((text) => text !== '')
}
