/**
 * What the RAG half knows of models: how long a text they read, which of the fleet's models embed, which answer. Descriptions come from the
 * nodes (`/api/show`) and are kept per build of a model.
 */
import { z } from 'zod'

import { CorralError } from '../core/errors.ts'
import { isCloudModel } from '../wire/model-name.ts'

export interface ModelFactsDeps {
  readonly show: (model: string) => Promise<unknown>
  readonly digestOf: (model: string, group: string | null) => string | null
  /** Canonical names of all models of the fleet. */
  readonly names: () => readonly string[]
  /** Whether a node has it in memory now. */
  readonly isLoaded: (model: string) => boolean
  readonly onTrouble: (message: string, cause: unknown) => void
}

interface Facts {
  /** Longest context of the model itself; null: the description does not tell. */
  readonly contextTokens: number | null
  /** What a node gives the model where a request does not say it (`num_ctx` of its Modelfile); null: the node's own default. */
  readonly givenTokens: number | null
  readonly capabilities: readonly string[]
}

const shown = z.looseObject({
  model_info: z.record(z.string(), z.unknown()).default({}),
  /** The Modelfile's, a line each. */
  parameters: z.string().default(''),
  capabilities: z.array(z.string()).default([]),
})

const unknownFacts: Facts = { contextTokens: null, givenTokens: null, capabilities: [] }
const keptMax = 512
/** Embedders by what they are worth, as far as their names tell; others follow in the order of their names. */
const knownEmbedders = ['nomic-embed-text', 'embeddinggemma', 'qwen3-embedding', 'mxbai-embed-large', 'snowflake-arctic-embed2', 'bge-m3']
const embedderName = /embed|minilm|\bbge\b|\be5\b|\bgte\b|arctic/

export class ModelFacts {
  readonly #deps: ModelFactsDeps
  /** By name and digest. */
  readonly #known = new Map<string, Promise<Facts>>()
  readonly #settled = new Map<string, Facts>()

  constructor(deps: ModelFactsDeps) {
    this.#deps = deps
  }

  /** Longest input in tokens that an embedder reads whole; null when nobody knows. Rejects when no node can be asked. */
  async inputTokens(model: string): Promise<number | null> {
    const { contextTokens, givenTokens } = await this.#facts(model)
    return contextTokens === null ? givenTokens : Math.min(contextTokens, givenTokens ?? contextTokens)
  }

  /** Longest context that may be asked for, as far as it is known now; asks for it when it is not. */
  contextOf(model: string): number | null {
    const known = this.#settled.get(this.#keyOf(model))
    if (known === undefined) this.#facts(model).catch((error: unknown) => this.#deps.onTrouble(`${model} could not be looked up`, error))
    return known?.contextTokens ?? null
  }

  /** The embedder to take where none was named; null: the fleet has none. */
  async anyEmbedder(): Promise<string | null> {
    const named = this.#ownNames().filter((name) => embedderName.test(name))
    for (const name of named.toSorted((a, b) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1))) {
      if (await this.#can(name, 'embedding')) return name
    }
    return null
  }

  /** The chat model to take where none was named: of those that `isWanted` one that is loaded, else the first by name. Throws `invalid_request`. */
  async anyChatModel(isWanted: (name: string) => boolean): Promise<string> {
    const names = this.#ownNames().filter((name) => !embedderName.test(name) && isWanted(name))
    const ordered = names.toSorted((a, b) => Number(this.#deps.isLoaded(b)) - Number(this.#deps.isLoaded(a)) || (a < b ? -1 : 1))
    for (const name of ordered) if (await this.#can(name, 'completion')) return name
    throw new CorralError(
      'invalid_request',
      'the fleet has no model that answers and that you may use: pull one ("corral models pull llama3.2"), or name one',
      { status: 409 },
    )
  }

  /** Without those that run elsewhere: text goes there only by name. */
  #ownNames(): readonly string[] {
    return this.#deps.names().filter((name) => !isCloudModel(name))
  }

  /** A description without capabilities (an older Ollama) says nothing against it. */
  async #can(model: string, capability: string): Promise<boolean> {
    try {
      const { capabilities } = await this.#facts(model)
      return capabilities.length === 0 || capabilities.includes(capability)
    } catch (error) {
      this.#deps.onTrouble(`${model} could not be looked up`, error)
      return false
    }
  }

  #facts(model: string): Promise<Facts> {
    const key = this.#keyOf(model)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const asked = this.#ask(model)
    this.#known.set(key, asked)
    asked.then(
      (facts) => {
        this.#settled.set(key, facts)
        this.#forgetOldest()
      },
      () => this.#known.delete(key),
    )
    return asked
  }

  async #ask(model: string): Promise<Facts> {
    const parsed = shown.safeParse(await this.#deps.show(model))
    if (!parsed.success) return unknownFacts
    const { model_info: info, parameters, capabilities } = parsed.data
    const length = Object.entries(info).find(([name]) => name.endsWith('.context_length'))?.[1]
    const given = Number(/^num_ctx\s+(\d+)\s*$/m.exec(parameters)?.[1] ?? 0)
    return {
      contextTokens: typeof length === 'number' && length > 0 ? length : null,
      givenTokens: given > 0 ? given : null,
      capabilities,
    }
  }

  #keyOf(model: string): string {
    return `${model} ${this.#deps.digestOf(model, null) ?? ''}`
  }

  #forgetOldest(): void {
    const [oldest] = this.#settled.keys()
    if (this.#settled.size <= keptMax || oldest === undefined) return
    this.#settled.delete(oldest)
    this.#known.delete(oldest)
  }
}

function rankOf(name: string): number {
  const place = knownEmbedders.findIndex((known) => name.includes(known))
  return place < 0 ? knownEmbedders.length : place
}
