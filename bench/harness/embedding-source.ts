/**
 * What makes the vectors of a bench: a gateway before a simulated node that embeds with MiniLM (int8), or in its place before a real Ollama
 * (`--ollama URL --embed-model NAME`). Vectors have the model's own dimension. The gateway starts when it is first needed, so that a bench whose
 * vectors are all in a file has none beside it.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { EmbedOptions } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { createHerd } from '../../src/sim/herd.ts'
import { createOnnxEmbedder } from '../../src/sim/onnx-embedder.ts'
import { CannotRun } from './cannot-run.ts'
import { type EmbeddingGateway, openEmbeddingGateway, untilModelsKnown } from './embedding-gateway.ts'

/** A real Ollama, and which of its models makes the vectors. */
export interface OllamaChoice {
  readonly url: string
  readonly model: string
}

/** Vectors of one digest are comparable; those of two never are. */
export interface EmbedderIdentity {
  readonly model: string
  readonly digest: string
}

export type TextRole = EmbedOptions['role']

/** Vectors in the order of `texts`, none of which is empty. */
export type EmbedTexts = (texts: readonly string[], role: TextRole) => Promise<Float32Array[]>

export interface EmbeddingSource {
  /** Where they come from, for people. */
  readonly description: string
  /** Throws `CannotRun` when the server does not answer or does not have the model. */
  identity(): Promise<EmbedderIdentity>
  /** Throws `CannotRun` also when the model makes no vectors. */
  readonly embed: EmbedTexts
  close(): Promise<void>
}

const batchTexts = 16
const tenant = 'bench'

/** The model that bars of quality are set for. */
export const miniLmName = 'all-minilm-l6-v2.int8'

/** Texts of like length go into one batch: less padding. */
async function embedByLength(
  texts: readonly string[],
  embed: (batch: readonly string[]) => Promise<readonly Float32Array[]>,
): Promise<Float32Array[]> {
  const order = texts.map((text, at) => ({ text, at })).toSorted((a, b) => a.text.length - b.text.length)
  const vectors: Float32Array[] = []
  for (let from = 0; from < order.length; from += batchTexts) {
    const batch = order.slice(from, from + batchTexts)
    const made = await embed(batch.map(({ text }) => text))
    for (const [index, { at }] of batch.entries()) {
      const vector = made[index]
      if (vector !== undefined) vectors[at] = vector
    }
  }
  return vectors
}

interface SourceParts {
  readonly description: string
  /** What the node calls the model. */
  readonly model: string
  readonly open: () => Promise<EmbeddingGateway>
  readonly identity: (gateway: () => Promise<EmbeddingGateway>) => Promise<EmbedderIdentity>
}

function createSource({ description, model, open, identity }: SourceParts): EmbeddingSource {
  let opened: Promise<EmbeddingGateway> | undefined
  let told: Promise<EmbedderIdentity> | undefined
  let build: string | undefined
  const gateway = async (): Promise<EmbeddingGateway> => {
    opened ??= open()
    const ready = await opened
    await untilModelsKnown(ready, description)
    return ready
  }
  const known = (): Promise<EmbedderIdentity> => (told ??= identity(gateway))
  return {
    description,
    identity: known,
    async embed(texts, role) {
      await known()
      const { calls } = await gateway()
      const { signal } = new AbortController()
      return embedByLength(texts, async (batch) => {
        const { vectors, digest } = await calls.embed(batch, { model, tenant, role, priority: 'batch', signal }).catch((error: unknown) => {
          if (!(error instanceof CorralError)) throw error
          throw new CannotRun(`no vectors ${description}: ${error.message}`, { cause: error })
        })
        build ??= digest
        if (digest !== build) throw new CannotRun(`${model} ${description} was replaced by another build meanwhile`)
        return vectors
      })
    },
    close: async () => {
      await opened?.then(
        (ready) => ready.close(),
        () => {},
      )
    },
  }
}

/** MiniLM from the files in the folder `modelsPath`, behind a simulated node. */
export function createMiniLmSource(modelsPath: string): EmbeddingSource {
  const modelPath = join(modelsPath, `${miniLmName}.onnx`)
  return createSource({
    description: 'behind a simulated node',
    model: 'all-minilm',
    async open() {
      const embedder = await createOnnxEmbedder({ modelPath, vocabularyPath: join(modelsPath, 'all-minilm-l6-v2.vocab.txt') })
      const herd = await createHerd({ nodes: 1, speed: 1_000, embedder })
      const [url = ''] = herd.urls
      return openEmbeddingGateway(url, () => herd.close())
    },
    async identity() {
      const bytes = await readFile(modelPath).catch((cause: unknown) => {
        throw new CannotRun(`${modelPath} cannot be read: it makes the vectors unless --ollama names another server`, { cause })
      })
      return { model: miniLmName, digest: createHash('sha256').update(bytes).digest('hex') }
    },
  })
}

/** A model of a real Ollama. */
export function createOllamaSource({ url, model }: OllamaChoice): EmbeddingSource {
  return createSource({
    description: `at ${url}`,
    model,
    open: () => openEmbeddingGateway(url),
    async identity(gateway) {
      const { fleet } = await gateway()
      const digest = fleet.digestOf(model)
      const name = fleet.knownModel(model)
      if (digest !== null && name !== null) return { model: name, digest }
      const held = fleet.catalogue.names().join(', ')
      throw new CannotRun(
        `${url} has no model ${model} of its own (it has ${held === '' ? 'none' : held}): "OLLAMA_HOST=${url} ollama pull ${model}" fetches it`,
      )
    },
  })
}
