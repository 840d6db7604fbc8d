/**
 * What an operator sees and may switch of the configuration in force, and what Corral stands on, as words that the configuration,
 * the operator's routes and the console share: none may know the other.
 */

/** A capability switched while Corral runs. It outranks every source of the configuration until it is taken back. */
export interface Switch {
  readonly on: boolean
  /** Who did it. */
  readonly by: string
  readonly atWallMs: number
}

export interface FeatureState {
  readonly name: string
  /** The key of the configuration that it is. */
  readonly key: string
  readonly meaning: string
  /** What this process does. */
  readonly on: boolean
  /** What the sources of the configuration say. */
  readonly configured: boolean
  /** Where the value comes from: `default`, a file and line, a variable, a flag, or who switched it. */
  readonly origin: string
  readonly switchable: boolean
  /** Why it cannot be switched here; null when it can. */
  readonly reason: string | null
  readonly switchedAt: string | null
  /** Whether a switch outlives this process and reaches the other replicas; null: it is not switched. */
  readonly kept: boolean | null
}

export interface ShownSetting {
  readonly key: string
  readonly value: unknown
  readonly origin: string
}

export interface LastReload {
  readonly at: string
  readonly kind: 'started' | 'applied' | 'kept'
  readonly changed: readonly string[]
  /** Why the old configuration was kept. */
  readonly problems: readonly string[]
}

export interface SettingsPage {
  /** Null: no file was read. */
  readonly file: string | null
  readonly lastReload: LastReload
  /** Changed since the start, and of no effect before a restart. */
  readonly waitingForRestart: readonly string[]
  /** Keys, or sections, that a running gateway does not change. */
  readonly restartKeys: readonly string[]
  readonly values: readonly ShownSetting[]
}

/** What Corral stands on, as a look at it found it. */
export interface Dependency {
  readonly kind: 'database' | 'redis' | 'node' | 'issuer'
  readonly name: string
  /** Null: not known yet. */
  readonly up: boolean | null
  readonly latencyMs: number | null
  readonly version: string | null
  readonly lastError: string | null
  /** Whatever else helps, such as the version of pgvector. */
  readonly detail: Readonly<Record<string, string | number | null>>
}

export interface OperatorSettings {
  /** Credentials are masked. */
  page(): SettingsPage
  features(): readonly FeatureState[]
  /** `on` null: as configured again. Rejects with `route_not_found` for a name nobody knows and `conflict` for what cannot be switched. */
  switchFeature(name: string, on: boolean | null, by: string): Promise<FeatureState>
}
