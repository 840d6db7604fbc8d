/**
 * What a bench hands back: figures, and the bars they are held to. A bar states its own limit, so that a result
 * read a year later still says what was promised.
 */
import { execFileSync } from 'node:child_process'

import type { OllamaChoice } from './embedding-source.ts'

export interface BenchOptions {
  /** Shorter and smaller: shows that the bench works, not that a bar holds. */
  readonly isQuick: boolean
  /** What stands where the gateway stands. `bare` is the control: it shows which bars a plain proxy misses. */
  readonly target: 'corral' | 'bare'
  /** Only scenarios whose name holds this text, in benches that have several; '' for all. */
  readonly only: string
  /** Length of a run that has one (`soak`), in minutes; the bench's own when absent. */
  readonly minutes?: number | undefined
  /** The folder of public test data, in benches that need one. */
  readonly dataPath?: string | undefined
  /** Where real vectors are kept (`vector-file.ts`), in benches that measure with them. */
  readonly vectorsPath?: string | undefined
  /** A real Ollama that makes those vectors; MiniLM behind a simulated node when absent. */
  readonly ollama?: OllamaChoice | undefined
  /** A folder in which `npm i @portkey-ai/gateway` was run, in benches that compare with it. */
  readonly portkeyPath?: string | undefined
  /** Progress for people. */
  readonly log: (line: string) => void
}

export interface Bar {
  readonly name: string
  readonly value: number
  /** For people, e.g. `<= 1.5`. */
  readonly limit: string
  readonly isOk: boolean
  /** The figure alone: its limit was set for something else than what was measured. Such a bar holds always. */
  readonly isPrinted?: boolean
}

export interface BenchResult {
  readonly name: string
  readonly commit: string
  readonly node: string
  readonly isQuick: boolean
  readonly target: BenchOptions['target']
  readonly bars: readonly Bar[]
  readonly data: Readonly<Record<string, unknown>>
}

export function atMost(name: string, value: number, limit: number): Bar {
  return { name, value, limit: `<= ${limit}`, isOk: value <= limit }
}

export function atLeast(name: string, value: number, limit: number): Bar {
  return { name, value, limit: `>= ${limit}`, isOk: value >= limit }
}

/** Holds when `value` lies between `low` and `high`, both included. */
export function within(name: string, value: number, [low, high]: readonly [number, number]): Bar {
  return { name, value, limit: `${low} to ${high}`, isOk: value >= low && value <= high }
}

function commitOfCheckout(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', cwd: import.meta.dirname }).trim()
  } catch {
    return 'unknown'
  }
}

export function benchResult(name: string, options: BenchOptions, parts: Pick<BenchResult, 'bars' | 'data'>): BenchResult {
  return { name, commit: commitOfCheckout(), node: process.version, isQuick: options.isQuick, target: options.target, ...parts }
}

/** A figure with as many digits as carry meaning. */
export function rounded(value: number): number {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 2 : 4
  return Number(value.toFixed(digits))
}
