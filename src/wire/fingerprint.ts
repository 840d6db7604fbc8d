/**
 * The runner options of a request as one comparable text: two requests with equal fingerprints share a loaded model, others
 * make the node reload it (ollama-contract-verified.md §b).
 */
import type { RunnerOptions } from '../core/envelope.ts'

/** Options that reload a model when they differ (ollama-contract-verified.md §b). */
const runnerOptionNames = new Set(['num_ctx', 'num_batch', 'num_gpu', 'main_gpu', 'use_mmap', 'num_thread', 'draft_num_predict'])

/** Whether a runner depends on the option `name`. */
export function isRunnerOption(name: string): boolean {
  return runnerOptionNames.has(name)
}

/** Whether every version of Ollama knows the option `name`, and refuses it with a value of a wrong type: others pass over it. */
export function isOldRunnerOption(name: string): boolean {
  return isRunnerOption(name) && name !== 'draft_num_predict'
}

/** Whether a runner option differs from an absent one: a negative num_gpu asks for the automatic choice, as an absent one does. */
export function isChoice(name: string, setting: number | boolean): boolean {
  return name !== 'num_gpu' || Number(setting) >= 0
}

/** Stable text of the options; '' when the request sets none. */
export function runnerFingerprint(options: RunnerOptions): string {
  return Object.keys(options)
    .toSorted()
    .map((name) => `${name}=${String(options[name])}`)
    .join(',')
}
