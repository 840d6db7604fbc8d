/** Loading in a test: short forms of `loadConfig` that fail the test when the outcome is the other one. */
import { loadConfig, type LoadInput, type LoadResult } from '../../src/config/load.ts'
import { problemText } from '../../src/config/problem.ts'
import { createFolder } from './folder.ts'

type Loaded = Extract<LoadResult, { kind: 'ok' }>

export interface Given extends Partial<LoadInput> {
  /** Content of `corral.yaml` in the working directory. */
  readonly yaml?: string
}

function load({ yaml, flags = {}, env = {}, cwd }: Given): Promise<LoadResult> {
  return loadConfig({ flags, env, cwd: cwd ?? createFolder(yaml === undefined ? {} : { 'corral.yaml': yaml }) })
}

export async function loadOk(given: Given): Promise<Loaded> {
  const loaded = await load(given)
  if (loaded.kind === 'ok') return loaded
  throw new Error(`refused: ${loaded.problems.map(problemText).join('\n')}`)
}

/** The problems as lines. */
export async function loadRefused(given: Given): Promise<readonly string[]> {
  const loaded = await load(given)
  if (loaded.kind === 'ok') throw new Error('was accepted')
  return loaded.problems.map(problemText)
}
