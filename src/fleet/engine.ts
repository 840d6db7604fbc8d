/**
 * What decides beside a model's digest what nodes answer, as one text: Ollama's versions in the fleet and the context length
 * that requests really get. Who keeps answers puts it into their keys. It is read with every request, so it is put together
 * anew only when the catalogue moved or the options are others. A node whose version is unknown says nothing: replicas that
 * see different dead nodes share what they keep.
 */
import type { Catalogue } from './catalogue.ts'
import type { FleetNode } from './node.ts'
import type { NumCtxPolicy } from './num-ctx.ts'
import type { FleetOptions } from './options.ts'

export interface EngineDeps {
  readonly nodes: () => readonly FleetNode[]
  /** Its version moves whenever a node comes, goes, or is another one. */
  readonly catalogue: Pick<Catalogue, 'version' | 'resolve'>
  readonly options: () => FleetOptions
  readonly numCtx: NumCtxPolicy
}

export class Engine {
  readonly #deps: EngineDeps
  #catalogueVersion = -1
  #numCtx: FleetOptions['numCtx'] | null = null
  /** By group of nodes; null: all of them. */
  readonly #shared = new Map<string | null, string>()

  constructor(deps: EngineDeps) {
    this.#deps = deps
  }

  /**
   * For one model, by its canonical name, on the nodes of a group (null: on all). Equal texts: the same request gets the same engine
   * and, where the gateway sets it, context length.
   */
  of(model: string, group: string | null = null): string {
    const { catalogue, numCtx } = this.#deps
    const grown = numCtx.largestOf(catalogue.resolve(model, group))
    this.#refresh()
    const shared = this.#shared.get(group) ?? this.#describe(group)
    return grown === null ? shared : `${shared};${grown}`
  }

  #describe(group: string | null): string {
    const { nodes, options } = this.#deps
    const own = group === null ? nodes() : nodes().filter((node) => node.options.group === group)
    const text = `${describeVersions(own)};${JSON.stringify(options().numCtx)}`
    // Groups come from credentials: one without nodes is not kept.
    if (group === null || own.length > 0) this.#shared.set(group, text)
    return text
  }

  #refresh(): void {
    const { catalogue, options } = this.#deps
    const { numCtx } = options()
    const { version } = catalogue
    if (version === this.#catalogueVersion && numCtx === this.#numCtx) return
    this.#catalogueVersion = version
    this.#numCtx = numCtx
    this.#shared.clear()
  }
}

/** Major and minor versions that nodes are known to run, each once, in order. */
function describeVersions(nodes: readonly FleetNode[]): string {
  const known = nodes.map(({ version }) => version).filter((version) => version !== null)
  return [...new Set(known.map((version) => version.split('.', 2).join('.')))].toSorted().join()
}
