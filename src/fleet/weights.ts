/**
 * Which names share weights. Ollama keys its runners by the weights, so that variants of one model (`FROM` the same file, other
 * `PARAMETER` lines) are one runner with other options, and two of them at once wedge a node as two `num_ctx` do
 * (ollama-contract-verified.md §b). Lists show manifest digests only, which differ; `/api/show` names the weights.
 *
 * A node is asked once per digest, in the background, after its list was read: one question at a time, and only where two
 * digests of one architecture are listed, since others cannot share weights. What fails is asked again after the next list, an
 * answer that names no weights stands.
 * Until it is known, a digest stands for itself.
 */
import type { RunnerOptions } from '../core/envelope.ts'
import { decodeModelFiles, type ModelFiles } from '../wire/model-files.ts'
import type { FleetNode, RunnerModel } from './node.ts'
import type { FleetOptions } from './options.ts'

export interface WeightsDeps {
  readonly nodes: () => readonly FleetNode[]
  readonly options: () => FleetOptions
  /** The weights behind a digest became known. */
  readonly onLearned: (digest: string, weights: string) => void
}

/** With a template, a licence and all tensors: some 100 kB. */
const shownBytesMax = 16 * 1_048_576

export class WeightsBook {
  readonly #deps: WeightsDeps
  /** By digest; null for one whose answer named no weights. */
  readonly #files = new Map<string, ModelFiles | null>()
  readonly #asking = new Set<FleetNode>()

  constructor(deps: WeightsDeps) {
    this.#deps = deps
  }

  /** The weights behind a manifest digest; null while they are unknown. */
  weightsOf(digest: string): string | null {
    return this.#files.get(digest)?.weights ?? null
  }

  /** Runner options that the Modelfile of a digest sets; null while they are unknown or when it sets none. */
  optionsOf(digest: string): RunnerOptions | null {
    return this.#files.get(digest)?.options ?? null
  }

  /** Adapters and projectors of a digest; '' while they are unknown or without any. */
  besideOf(digest: string): string {
    return this.#files.get(digest)?.beside ?? ''
  }

  /** A node's list was read: asks it for what is still unknown, and forgets what nobody lists any more. Never rejects. */
  async learn(node: FleetNode): Promise<void> {
    this.#forgetUnlisted()
    if (this.#asking.has(node)) return
    this.#asking.add(node)
    for (const model of this.#doubtful(node)) {
      if (node.up !== true) break
      // Another node may have said it meanwhile, or the name may lead to another digest.
      if (!this.#isOpen(node, model)) continue
      const body = await this.#ask(node, model)
      if (body === null || !this.#isOpen(node, model)) continue
      const files = decodeModelFiles(body)
      this.#files.set(model.digest, files)
      if (files !== null) this.#deps.onLearned(model.digest, files.weights)
    }
    this.#asking.delete(node)
  }

  /** Whether what is behind the digest is unknown, and the node would say it of the name. */
  #isOpen({ models }: FleetNode, { name, digest }: RunnerModel): boolean {
    return !this.#files.has(digest) && models.get(name)?.digest === digest
  }

  /** One name of each digest that may share its weights with another one. */
  #doubtful({ models }: FleetNode): readonly RunnerModel[] {
    const families = new Map<string, Map<string, RunnerModel>>()
    for (const [name, { digest, family = '', remoteHost = null }] of models) {
      if (digest === '' || family === '' || remoteHost !== null) continue
      const digests = families.get(family) ?? new Map<string, RunnerModel>()
      families.set(family, digests.set(digest, { name, digest }))
    }
    return [...families.values()].flatMap((digests) =>
      digests.size < 2 ? [] : [...digests.values()].filter(({ digest }) => !this.#files.has(digest)),
    )
  }

  async #ask({ transport }: FleetNode, { name }: RunnerModel): Promise<Buffer | null> {
    const { lookupMsMax } = this.#deps.options().deadlines
    const headers = ['content-type', 'application/json']
    const request = { method: 'POST', path: '/api/show', headers, body: JSON.stringify({ model: name }) }
    const answer = await transport.request(request, { timeoutMs: lookupMsMax, bytesMax: shownBytesMax }).catch(() => null)
    return answer?.status === 200 ? answer.body : null
  }

  #forgetUnlisted(): void {
    const listed = new Set<string>()
    for (const { models } of this.#deps.nodes()) for (const { digest } of models.values()) listed.add(digest)
    for (const digest of this.#files.keys()) if (!listed.has(digest)) this.#files.delete(digest)
  }
}
