/**
 * The models and blobs on a simulated node's disk. A model's `digest` names its manifest, its `blob` its weights: copies
 * and variants share a blob and so a runner. Names are kept as given and found without regard to case.
 */
import { sha256, type SimModel } from './model.ts'
import { parseModelName, type ModelName } from './model-name.ts'

export interface ModelMessage {
  readonly role: string
  readonly content: string
}

export interface StoredModel {
  /** As lists show it, e.g. `llama3.2:3b`. */
  readonly name: string
  readonly parsed: ModelName
  readonly facts: SimModel
  /** Hex, manifest. */
  readonly digest: string
  /** Hex, weights. */
  readonly blob: string
  readonly modifiedAtMs: number
  readonly parentModel: string
  readonly parameters: ReadonlyMap<string, unknown>
  readonly template: string
  readonly system: string
  readonly license: string
  readonly messages: readonly ModelMessage[]
}

/** A file on disk, of which only the first bytes are kept. */
export interface Blob {
  readonly sizeBytes: number
  readonly head: Buffer
}

export const plainTemplate = '{{ .Prompt }}'
const chatTemplate = '{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n'

/** A model as `createSimNode` was told. */
export function storeModel(facts: SimModel, nowMs: number): StoredModel | null {
  const parsed = parseModelName(facts.name)
  if (parsed === null) return null
  const embeds = facts.capabilities.includes('embedding')
  const blob = sha256(`weights ${facts.family} ${facts.parameterSize} ${facts.sizeBytes} ${facts.digest ?? facts.name}`)
  return {
    name: parsed.display,
    parsed,
    facts,
    digest: facts.digest ?? sha256(`manifest ${parsed.display}`),
    blob,
    modifiedAtMs: facts.modifiedAtMs ?? nowMs,
    parentModel: '',
    parameters: new Map(Object.entries(facts.parameters ?? {})),
    template: facts.template ?? (embeds ? plainTemplate : chatTemplate),
    system: '',
    license: '',
    messages: [],
  }
}

export class Store {
  #models = new Map<string, StoredModel>()
  readonly blobs = new Map<string, Blob>()

  /** Newest first. */
  list(): StoredModel[] {
    return [...this.#models.values()].toSorted((one, other) => other.modifiedAtMs - one.modifiedAtMs)
  }

  get(name: ModelName): StoredModel | null {
    return this.#models.get(name.key) ?? null
  }

  put(model: StoredModel): void {
    this.#models.set(model.parsed.key, model)
    if (!this.blobs.has(model.blob)) this.blobs.set(model.blob, { sizeBytes: model.facts.sizeBytes, head: Buffer.alloc(0) })
  }

  remove(model: StoredModel): void {
    this.#models.delete(model.parsed.key)
  }
}
