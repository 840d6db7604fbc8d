/** The one place that reads `process.env`: everything else receives the environment as an argument. */
import { existsSync } from 'node:fs'

import type { Environment } from './env-source.ts'

export function processEnvironment(): Environment {
  return process.env
}

/** The credential with which commands speak to a gateway; null when none is set. */
export function apiKey(env: Environment = processEnvironment()): string | null {
  const key = env['CORRAL_API_KEY']?.trim() ?? ''
  return key === '' ? null : key
}

/** Colours are wanted: a terminal, and neither `NO_COLOR` nor `TERM=dumb`. */
export function wantsColour(stream: { readonly isTTY?: boolean | undefined }, env: Environment = processEnvironment()): boolean {
  const refused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb'
  return stream.isTTY === true && !refused
}

/** Whether this process runs in a container: Docker and Podman each leave a file in it, Kubernetes a variable. */
export function isContainer(env: Environment = processEnvironment(), isThere: (path: string) => boolean = existsSync): boolean {
  return env['KUBERNETES_SERVICE_HOST'] !== undefined || isThere('/.dockerenv') || isThere('/run/.containerenv')
}
