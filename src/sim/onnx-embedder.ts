/**
 * An embedder with a real model: MiniLM as ONNX, run by onnxruntime-node, which is only loaded when this is used. Vectors
 * are the mean of the token vectors, scaled to length 1. One inference at a time; texts of one call share a batch.
 */
import { readFile } from 'node:fs/promises'
import { normalise, type Embedder } from './embedder.ts'
import { WordPieces } from './word-pieces.ts'

export interface OnnxFiles {
  readonly modelPath: string
  /** One word piece per line. */
  readonly vocabularyPath: string
  /** Longest text, tokens. Default 256. */
  readonly limitTokens?: number
}

interface Batch {
  readonly ids: BigInt64Array
  readonly mask: BigInt64Array
  readonly shape: readonly [number, number]
}

function batchOf(rows: readonly (readonly number[])[]): Batch {
  const width = Math.max(...rows.map((row) => row.length))
  const ids = new BigInt64Array(rows.length * width)
  const mask = new BigInt64Array(rows.length * width)
  for (const [line, row] of rows.entries()) {
    for (const [column, id] of row.entries()) {
      ids[line * width + column] = BigInt(id)
      mask[line * width + column] = 1n
    }
  }
  return { ids, mask, shape: [rows.length, width] }
}

/** Mean over the tokens of each text. `states` holds batch × tokens × size numbers. */
function meanVectors(states: Float32Array, rows: readonly (readonly number[])[], width: number): Float32Array[] {
  const size = states.length / (rows.length * width)
  return rows.map((row, line) => {
    const vector = new Float32Array(size)
    for (let column = 0; column < row.length; column += 1) {
      const offset = (line * width + column) * size
      for (let index = 0; index < size; index += 1) vector[index] = (vector[index] ?? 0) + (states[offset + index] ?? 0)
    }
    return normalise(vector)
  })
}

/** Loads the model. The embedder ignores the asked dimensions: they are the model's. */
export async function createOnnxEmbedder(files: OnnxFiles): Promise<Embedder> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node')
  const [session, vocabulary] = await Promise.all([
    InferenceSession.create(files.modelPath, { intraOpNumThreads: 1, interOpNumThreads: 1 }),
    readFile(files.vocabularyPath, 'utf8'),
  ])
  const pieces = new WordPieces(vocabulary)
  let turn: Promise<unknown> = Promise.resolve()
  const embed = async (texts: readonly string[]): Promise<Float32Array[]> => {
    const rows = texts.map((text) => pieces.encode(text, files.limitTokens ?? 256))
    const { ids, mask, shape } = batchOf(rows)
    const tensor = (data: BigInt64Array): InstanceType<typeof Tensor> => new Tensor('int64', data, shape)
    const feeds: Record<string, InstanceType<typeof Tensor>> = { input_ids: tensor(ids), attention_mask: tensor(mask) }
    if (session.inputNames.includes('token_type_ids')) feeds['token_type_ids'] = tensor(new BigInt64Array(ids.length))
    const output = await session.run(feeds)
    const states = output[session.outputNames[0] ?? '']?.data
    if (!(states instanceof Float32Array)) throw new Error('the model does not give float32 token vectors')
    return meanVectors(states, rows, shape[1])
  }
  return (texts) => {
    const next = turn.then(() => embed(texts))
    turn = next.catch(() => {})
    return next
  }
}
