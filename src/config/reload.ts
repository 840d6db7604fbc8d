/**
 * Reload: load anew, validate, apply or keep the old one. Two reloads never overlap; a signal during one causes exactly
 * one more. Keys of the listening socket need a restart and are reported as such; everything else takes effect at once.
 */
import type { LoadResult } from './load.ts'
import { pathText } from './path.ts'
import { type Problem, problemText } from './problem.ts'
import { type Config, needsRestart } from './schema.ts'
import { walkValues } from './show.ts'

export type ReloadResult =
  | { readonly kind: 'applied'; readonly changed: readonly string[]; readonly needRestart: readonly string[] }
  | { readonly kind: 'kept'; readonly problems: readonly Problem[] }

export interface ReloadDeps {
  readonly current: Config
  load(): Promise<LoadResult>
  apply(loaded: Extract<LoadResult, { kind: 'ok' }>): Promise<void>
  report(result: ReloadResult): void
}

function valuesByKey(config: Config): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  walkValues(config, (path, value) => values.set(pathText(path), JSON.stringify(value) ?? ''))
  return values
}

/** Keys whose values differ, as text. */
export function changedKeys(before: Config, after: Config): readonly string[] {
  const old = valuesByKey(before)
  const now = valuesByKey(after)
  return [...new Set([...old.keys(), ...now.keys()])].filter((key) => old.get(key) !== now.get(key))
}

/** A function that reloads once per call. */
export function createReloader(deps: ReloadDeps): () => Promise<void> {
  let current = deps.current
  let running: Promise<void> | null = null
  let again = false
  const once = async (): Promise<void> => {
    const loaded = await deps.load()
    if (loaded.kind === 'invalid') {
      deps.report({ kind: 'kept', problems: loaded.problems })
      return
    }
    const changed = changedKeys(current, loaded.config)
    try {
      await deps.apply(loaded)
    } catch (error) {
      const message = `the new configuration could not be applied: ${error instanceof Error ? error.message : String(error)}`
      deps.report({ kind: 'kept', problems: [{ message, where: '' }] })
      return
    }
    current = loaded.config
    deps.report({ kind: 'applied', changed, needRestart: changed.filter(needsRestart) })
  }
  const run = async (): Promise<void> => {
    do {
      again = false
      await once()
    } while (again)
    running = null
  }
  return () => {
    if (running !== null) again = true
    else running = run()
    return running
  }
}

/** A reload as lines for the log. */
export function reloadLines(result: ReloadResult): readonly string[] {
  if (result.kind === 'kept')
    return result.problems.map((problem) => `configuration not reloaded, the old one stays: ${problemText(problem)}`)
  const { changed, needRestart } = result
  const first = changed.length === 0 ? 'configuration reloaded, nothing changed' : `configuration reloaded, changed: ${changed.join(', ')}`
  return needRestart.length === 0 ? [first] : [first, `takes effect after a restart only: ${needRestart.join(', ')}`]
}
