/**
 * What `/api/show` tells of the files behind a model's name: which weights it runs with, and the runner options that its
 * Modelfile sets. Ollama keys its runners by the weights and reloads one whose options, adapters or projectors differ
 * (ollama-contract.md §2.8; ollama-contract-verified.md §b).
 */
import { z } from 'zod'

import type { RunnerOptions } from '../core/envelope.ts'
import { isChoice, isRunnerOption } from './fingerprint.ts'
import { parseJson } from './listings.ts'

export interface ModelFiles {
  /** Hex SHA-256 of the weights. */
  readonly weights: string
  /** Hex SHA-256 of adapters and projectors, in their order; '' without any. */
  readonly beside: string
  /** Runner options of the Modelfile's `PARAMETER` lines. */
  readonly options: RunnerOptions
}

const shown = z.object({ modelfile: z.string(), parameters: z.string().default('') })

const fileLine = /^(?:FROM|ADAPTER|DRAFT)\s.*\bsha256-([0-9a-f]{64})\s*$/

/** Reads the body of `/api/show`; null when it names no weights, such as for a model that runs elsewhere. */
export function decodeModelFiles(body: Buffer): ModelFiles | null {
  const parsed = shown.safeParse(parseJson(body))
  if (!parsed.success) return null
  const [weights, ...beside] = fileDigests(parsed.data.modelfile)
  if (weights === undefined) return null
  return { weights, beside: beside.join(), options: readOptions(parsed.data.parameters) }
}

/** Files stand before everything else: what follows the first other line may be a template's or a system prompt's own text. */
function fileDigests(modelfile: string): readonly string[] {
  const digests: string[] = []
  for (const line of modelfile.split('\n')) {
    if (line.startsWith('#') || line.trim() === '') continue
    const digest = fileLine.exec(line)?.[1]
    if (digest === undefined) break
    digests.push(digest)
  }
  return digests
}

/** A parameter a line, the value after its name; texts are quoted, and no runner option is one. */
function readOptions(parameters: string): RunnerOptions {
  const options: Record<string, number | boolean> = {}
  for (const line of parameters.split('\n')) {
    const [name = '', text = ''] = line.trim().split(/\s+/)
    const value = text === 'true' || text === 'false' ? text === 'true' : Number(text)
    const isReadable = text !== '' && !Number.isNaN(value)
    if (isReadable && isRunnerOption(name) && isChoice(name, value)) options[name] = value
  }
  return options
}
