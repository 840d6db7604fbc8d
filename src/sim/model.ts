/**
 * What a simulated node knows of a model: the facts a user of the simulator gives (`SimModel`) and the set a node has by
 * default. Names are complete (`name:tag`); digests are derived from the name when not given.
 */
import { createHash } from 'node:crypto'

export type Capability = 'completion' | 'embedding' | 'tools' | 'thinking' | 'insert' | 'vision' | 'audio'

export interface SimModel {
  readonly name: string
  /** Hex SHA-256 of the manifest. */
  readonly digest?: string
  readonly sizeBytes: number
  readonly family: string
  readonly parameterSize: string
  readonly quantization: string
  /** Trained context, tokens. */
  readonly contextLength: number
  readonly embeddingLength?: number
  readonly capabilities: readonly Capability[]
  /** Time to load it from disk at speed 1. */
  readonly loadMs: number
  /** False: only known to the registry, so that `pull` can fetch it. Default true. */
  readonly pulled?: boolean
  /** Modelfile parameters, e.g. `{ num_ctx: 2048 }`. */
  readonly parameters?: Readonly<Record<string, unknown>>
  readonly template?: string
  /** Milliseconds since 1970; default: when the node started. */
  readonly modifiedAtMs?: number
  /** `model_info` instead of the usual keys; lists are shown when `verbose`. */
  readonly modelInfo?: Readonly<Record<string, unknown>>
  /** Why no runner can load it. */
  readonly loadError?: string
  /** Written by `ollama create` from safetensors: `/api/tags` cannot tell that it is an embedding model. */
  readonly converted?: boolean
}

/** Hex SHA-256. */
export function sha256(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex')
}

export const defaultModels: readonly SimModel[] = [
  {
    name: 'llama3.2:3b',
    sizeBytes: 2_019_393_189,
    family: 'llama',
    parameterSize: '3.2B',
    quantization: 'Q4_K_M',
    contextLength: 131_072,
    embeddingLength: 3072,
    capabilities: ['completion', 'tools'],
    loadMs: 1_500,
  },
  {
    name: 'qwen3:8b',
    sizeBytes: 5_225_388_164,
    family: 'qwen3',
    parameterSize: '8.2B',
    quantization: 'Q4_K_M',
    contextLength: 40_960,
    embeddingLength: 4096,
    capabilities: ['completion', 'tools', 'thinking'],
    loadMs: 3_000,
  },
  {
    name: 'nomic-embed-text:latest',
    sizeBytes: 274_302_450,
    family: 'nomic-bert',
    parameterSize: '137M',
    quantization: 'F16',
    contextLength: 2048,
    embeddingLength: 768,
    capabilities: ['embedding'],
    loadMs: 600,
  },
  {
    name: 'all-minilm:latest',
    sizeBytes: 45_960_996,
    family: 'bert',
    parameterSize: '23M',
    quantization: 'F16',
    contextLength: 512,
    embeddingLength: 384,
    capabilities: ['embedding'],
    loadMs: 400,
  },
]
