/**
 * The real vectors that a bench measures with, as its call asks for them: of MiniLM, or of a model of a real Ollama (`--ollama`), kept in files
 * whose names begin with `--vectors FILE`, or, without that, for this run. What a bar was set for with MiniLM does not hold another model: its
 * figure is printed, and says so.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { createMiniLmSource, createOllamaSource, type EmbedderIdentity, type EmbeddingSource, miniLmName } from './embedding-source.ts'
import type { Bar, BenchOptions } from './result.ts'
import { continueVectors, readVectors, type TextSet, type VectorFile } from './vector-file.ts'

export interface BenchVectors {
  readonly embedder: EmbedderIdentity
  /** All of a set; those that its file lacks are made. `suffix`: what the file's name has beside `--vectors FILE`. */
  of(set: TextSet, suffix: string): Promise<readonly Float32Array[]>
  /** Those of the first texts that the file has. */
  held(set: TextSet, suffix: string): Promise<readonly Float32Array[]>
}

type VectorOptions = Pick<BenchOptions, 'dataPath' | 'vectorsPath' | 'ollama' | 'log'>

/** Whether the call asks for vectors. */
export function hasVectors({ vectorsPath, ollama }: VectorOptions): boolean {
  return vectorsPath !== undefined || ollama !== undefined
}

/** What makes vectors as the call asks. */
export function sourceOf({ ollama, dataPath = '' }: VectorOptions): EmbeddingSource {
  return ollama === undefined ? createMiniLmSource(join(dataPath, '../models')) : createOllamaSource(ollama)
}

/** The source ends with `act`: take what is timed out of it. */
export async function withVectors<T>(options: VectorOptions, act: (vectors: BenchVectors) => Promise<T>): Promise<T> {
  const source = sourceOf(options)
  const folder = options.vectorsPath === undefined ? await mkdtemp(join(tmpdir(), 'corral-vectors-')) : null
  try {
    const embedder = await source.identity()
    options.log(`vectors of ${embedder.model} (${embedder.digest.slice(0, 12)}) ${source.description}`)
    const path = folder === null ? (options.vectorsPath ?? '') : join(folder, 'vectors')
    const fileOf = (set: TextSet, suffix: string): VectorFile => ({ path: path + suffix, set, embedder })
    return await act({
      embedder,
      held: (set, suffix) => readVectors(fileOf(set, suffix)),
      async of(set, suffix) {
        await continueVectors(fileOf(set, suffix), { embed: source.embed, log: options.log })
        return readVectors(fileOf(set, suffix))
      },
    })
  } finally {
    await source.close()
    if (folder !== null) await rm(folder, { recursive: true, force: true })
  }
}

/** Bars that were set with MiniLM, as they hold for the vectors of this run. */
export function setForMiniLm(bars: readonly Bar[], { ollama }: VectorOptions): Bar[] {
  if (ollama === undefined) return [...bars]
  return bars.map(({ limit, ...bar }) => ({ ...bar, isOk: true, isPrinted: true, limit: `none: ${limit} is for ${miniLmName}` }))
}
