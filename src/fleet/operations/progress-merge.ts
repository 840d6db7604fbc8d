/**
 * Several nodes' pull or create progress as one. Per layer the merged `completed` is that of the slowest node, so it only
 * grows and reaches the total when all have it; a step without numbers is told when the last node has reached it.
 * A node that went past a layer it told of counts as done with it: lines are sampled and the last one may be missing (T294).
 */
import { z } from 'zod'

const line = z.object({
  status: z.string().optional(),
  error: z.string().optional(),
  digest: z.string().optional(),
  total: z.number().optional(),
  completed: z.number().optional(),
})

export interface Progress {
  readonly status: string
  readonly error: string | null
  readonly digest: string | null
  readonly totalBytes: number
  readonly completedBytes: number
}

/** One progress line; null when it is no JSON object. */
export function decodeProgress(text: string): Progress | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const parsed = line.safeParse(value)
  if (!parsed.success) return null
  const { status = '', error = null, digest = null, total = 0, completed = 0 } = parsed.data
  return { status, error, digest, totalBytes: total, completedBytes: completed }
}

interface Layer {
  readonly status: string
  readonly digest: string
  totalBytes: number
  readonly completedBytes: Map<string, number>
  shownBytes: number
}

export class ProgressMerge {
  readonly #running: Set<string>
  readonly #layers = new Map<string, Layer>()
  readonly #steps = new Map<string, Set<string>>()
  readonly #told = new Set<string>()

  constructor(nodes: readonly string[]) {
    this.#running = new Set(nodes)
  }

  /** Takes a line of `node`; returns the merged lines that it causes. */
  note(node: string, progress: Progress): string[] {
    if (progress.digest !== null && progress.totalBytes > 0) return this.#noteLayer(node, progress, progress.digest)
    const lines = this.#passLayers(node)
    const reached = this.#steps.get(progress.status) ?? new Set<string>()
    this.#steps.set(progress.status, reached.add(node))
    return [...lines, ...this.#tellSteps()]
  }

  /** The node's part is over, well or not: nobody waits for it any more. */
  end(node: string): string[] {
    this.#running.delete(node)
    if (this.#running.size === 0) return []
    return [...this.#layers.values()].flatMap((layer) => this.#tellLayer(layer)).concat(this.#tellSteps())
  }

  #noteLayer(node: string, { status, totalBytes, completedBytes }: Progress, digest: string): string[] {
    let layer = this.#layers.get(digest)
    if (layer === undefined) {
      layer = { status, digest, totalBytes, completedBytes: new Map(), shownBytes: -1 }
      this.#layers.set(digest, layer)
    }
    layer.totalBytes = Math.max(layer.totalBytes, totalBytes)
    layer.completedBytes.set(node, completedBytes)
    return this.#tellLayer(layer)
  }

  #passLayers(node: string): string[] {
    const lines: string[] = []
    for (const layer of this.#layers.values()) {
      if (!layer.completedBytes.has(node)) continue
      layer.completedBytes.set(node, layer.totalBytes)
      lines.push(...this.#tellLayer(layer))
    }
    return lines
  }

  #tellLayer(layer: Layer): string[] {
    let completedBytes = layer.totalBytes
    for (const node of this.#running) {
      const reachedBytes = layer.completedBytes.get(node)
      // A node that is not there yet may still be at a step before it, which is told first.
      if (reachedBytes === undefined) return []
      completedBytes = Math.min(completedBytes, reachedBytes)
    }
    if (completedBytes <= layer.shownBytes) return []
    layer.shownBytes = completedBytes
    const { status, digest, totalBytes: total } = layer
    return [JSON.stringify({ status, digest, total, ...(completedBytes > 0 ? { completed: completedBytes } : {}) })]
  }

  #tellSteps(): string[] {
    const lines: string[] = []
    for (const [status, reached] of this.#steps) {
      if (this.#told.has(status)) continue
      if ([...this.#running].some((node) => !reached.has(node))) break
      this.#told.add(status)
      lines.push(JSON.stringify({ status }))
    }
    return lines
  }
}
