/**
 * The configuration in force: what the sources said last, with what was switched by hand on top. A switch takes the way of a reload, and is
 * kept as `followed-rows.ts` says.
 *
 * Changes are made one after the other, and one that cannot be applied leaves everything as it was.
 */
import type { Clock } from '../base/clock.ts'
import { FollowedRows, type RowStore } from '../base/followed-rows.ts'
import { CorralError } from '../core/errors.ts'
import type { FeatureState, LastReload, OperatorSettings, SettingsPage, Switch } from '../core/operator-settings.ts'
import { type Origin, originOf, type Origins, originText } from './assignment.ts'
import { type FeatureName, featureNames, isFeatureName, meaningOf, whyFixed } from './features.ts'
import { nearest } from './problem.ts'
import { parsePath, type Path } from './path.ts'
import { changedKeys } from './reload.ts'
import { type Config, deepFreeze, featureKeys, needsRestart, restartKeys } from './schema.ts'
import { shownValues } from './show.ts'

/** What the sources say. */
export interface Sources {
  readonly config: Config
  readonly origins: Origins
  readonly file: string | null
}

export interface LiveSettingsDeps {
  readonly initial: Sources
  readonly clock: Clock
  /** Null: switches last as long as this process. */
  readonly store: RowStore<Switch> | null
  /** Puts a configuration into force; rejects and keeps the old one when it cannot. */
  readonly apply: (config: Config) => Promise<void>
  /** Tells the other processes of this machine at once. */
  readonly tell: (name: string, wanted: Switch | null) => Promise<void>
  readonly onTrouble: (message: string, cause: unknown) => void
}

type Switches = ReadonlyMap<string, Switch>

export class LiveSettings implements OperatorSettings {
  readonly #deps: LiveSettingsDeps
  readonly #started: Config
  #sources: Sources
  #switches: Switches = new Map()
  #current: Config
  #lastReload: LastReload
  readonly #rows: FollowedRows<Switch>

  constructor(deps: LiveSettingsDeps) {
    this.#deps = deps
    this.#sources = deps.initial
    this.#started = deps.initial.config
    this.#current = deps.initial.config
    this.#lastReload = { at: this.#now(), kind: 'started', changed: [], problems: [] }
    const { clock, store, onTrouble } = deps
    const put = (switches: Switches): Promise<void> => this.#put(this.#sources, switches)
    this.#rows = new FollowedRows({ clock, store, current: () => this.#switches, put, what: 'switches', onTrouble })
  }

  /** Takes over what was switched before, and follows what others switch. */
  start(): Promise<void> {
    return this.#rows.start()
  }

  close(): void {
    this.#rows.close()
  }

  /** The sources were read anew. */
  async reload(sources: Sources): Promise<void> {
    await this.#rows.inTurn(async () => {
      const changed = changedKeys(this.#sources.config, sources.config)
      await this.#put(sources, this.#switches)
      this.#lastReload = { at: this.#now(), kind: 'applied', changed, problems: [] }
    })
  }

  /** The sources were read anew and are of no use. */
  noteRefused(problems: readonly string[]): void {
    this.#lastReload = { at: this.#now(), kind: 'kept', changed: [], problems }
  }

  /** Another process switched. */
  adopt(name: string, wanted: Switch | null): Promise<void> {
    return this.#rows.adopt([[name, wanted]])
  }

  async switchFeature(name: string, on: boolean | null, by: string): Promise<FeatureState> {
    if (!isFeatureName(name)) throw unknownFeature(name)
    const fixed = whyFixed(name)
    if (fixed !== null) throw new CorralError('conflict', `${name}: ${fixed}`)
    const wanted = on === null ? null : { on, by, atWallMs: this.#deps.clock.wallMs() }
    await this.#rows.change(() => this.#put(this.#sources, withSwitch(this.#switches, name, wanted)))
    await this.#deps.tell(name, wanted)
    return this.#stateOf(name)
  }

  /** What is switched by hand, by name. */
  switches(): ReadonlyMap<string, Switch> {
    return this.#switches
  }

  features(): readonly FeatureState[] {
    return featureNames.map((name) => this.#stateOf(name))
  }

  page(): SettingsPage {
    const waiting = changedKeys(this.#started, this.#current).filter(needsRestart)
    return {
      file: this.#sources.file,
      lastReload: this.#lastReload,
      waitingForRestart: waiting,
      restartKeys,
      values: shownValues(this.#current, this.#origins()),
    }
  }

  #stateOf(name: FeatureName): FeatureState {
    const key = featureKeys[name]
    const path = parsePath(key) ?? []
    const reason = whyFixed(name)
    const done = this.#switches.get(name)
    return {
      name,
      key,
      meaning: meaningOf(name),
      on: isOn(needsRestart(key) ? this.#started : this.#current, path),
      configured: isOn(this.#sources.config, path),
      origin: originText(originOf(this.#origins(), path)),
      switchable: reason === null,
      reason,
      switchedAt: done === undefined ? null : new Date(done.atWallMs).toISOString(),
      kept: done === undefined ? null : this.#rows.isKept(name),
    }
  }

  #origins(): Origins {
    const origins = new Map<string, Origin>(this.#sources.origins)
    for (const [name, { by, atWallMs }] of this.#switches) {
      if (isFeatureName(name)) origins.set(featureKeys[name], { kind: 'switch', by, atWallMs })
    }
    return origins
  }

  async #put(sources: Sources, switches: Switches): Promise<void> {
    const next = switched(sources.config, switches)
    if (next !== this.#current) await this.#deps.apply(next)
    this.#sources = sources
    this.#switches = switches
    this.#current = next
  }

  #now(): string {
    return new Date(this.#deps.clock.wallMs()).toISOString()
  }
}

function unknownFeature(name: string): CorralError {
  const meant = nearest(name, featureNames)
  const advice = meant === null ? 'GET /admin/features lists them' : `did you mean ${meant}?`
  return new CorralError('route_not_found', `no capability ${name.slice(0, 64)}: ${advice}`)
}

function withSwitch(switches: Switches, name: string, wanted: Switch | null): Switches {
  const next = new Map(switches)
  if (wanted === null) next.delete(name)
  else next.set(name, wanted)
  return next
}

/** What another version kept of a capability that this one does not know, or cannot switch, counts for nothing. */
function switched(config: Config, switches: Switches): Config {
  let next = config
  for (const [name, { on }] of switches) {
    if (isFeatureName(name) && whyFixed(name) === null) next = withValue(next, parsePath(featureKeys[name]) ?? [], on)
  }
  return deepFreeze(next)
}

/** A copy with another value at `path`; sections beside the way stay the same objects. */
function withValue<T extends object>(section: T, [step = '', ...rest]: Path, value: boolean): T {
  if (rest.length === 0) return { ...section, [step]: value }
  const child: unknown = Reflect.get(section, step)
  return typeof child === 'object' && child !== null ? { ...section, [step]: withValue(child, rest, value) } : section
}

function isOn(config: Config, path: Path): boolean {
  let value: unknown = config
  for (const step of path) value = typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined
  return value === true
}
