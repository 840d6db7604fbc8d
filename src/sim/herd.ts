/**
 * Several nodes in one process, named `node-1`, `node-2`, …; with a base port they listen side by side (0: any ports).
 */
import { createSimNode, type SimNode, type SimNodeOptions } from './node.ts'

export interface HerdOptions extends Omit<SimNodeOptions, 'port' | 'controlPort' | 'name'> {
  /** How many, or the differences of each from the common options. */
  readonly nodes: number | readonly SimNodeOptions[]
  readonly basePort?: number
  readonly baseControlPort?: number
}

export interface SimHerd {
  readonly nodes: readonly SimNode[]
  readonly urls: readonly string[]
  close(): Promise<void>
}

/** Starts all nodes of a herd, or none: throws what a node throws that cannot start, after those before it are closed. */
export async function createHerd(options: HerdOptions): Promise<SimHerd> {
  const { nodes: wanted, basePort, baseControlPort, ...common } = options
  const each: readonly SimNodeOptions[] = typeof wanted === 'number' ? Array.from({ length: wanted }, () => ({})) : wanted
  const nodes: SimNode[] = []
  const close = async (): Promise<void> => void (await Promise.all(nodes.map((node) => node.close())))
  try {
    for (const [index, own] of each.entries()) {
      nodes.push(
        await createSimNode({
          ...common,
          name: `node-${index + 1}`,
          seed: (common.seed ?? 1) + index,
          ...(basePort === undefined ? {} : { port: basePort === 0 ? 0 : basePort + index }),
          ...(baseControlPort === undefined ? {} : { controlPort: baseControlPort + index }),
          ...own,
        }),
      )
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    nodes,
    urls: nodes.map((node) => node.url),
    close,
  }
}
