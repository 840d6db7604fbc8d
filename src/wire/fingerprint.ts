/**
 * The runner options of a request as one comparable text: two requests with equal fingerprints share a loaded model, others
 * make the node reload it (ollama-contract-verified.md §b).
 */
import type { RunnerOptions } from '../core/envelope.ts'

/** Stable text of the options; '' when the request sets none. */
export function runnerFingerprint(options: RunnerOptions): string {
  return Object.keys(options)
    .toSorted()
    .map((name) => `${name}=${String(options[name])}`)
    .join(',')
}
