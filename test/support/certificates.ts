/** The certificates of test/data/tls, as servers show them, and how long they hold. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { Validity } from '../../src/base/certificate.ts'

export const certificateFile = (name: string): string => fileURLToPath(new URL(`../data/tls/${name}`, import.meta.url))

/** What a server needs to show it. */
export function certificate(name: string): { readonly cert: Buffer; readonly key: Buffer } {
  return { cert: readFileSync(certificateFile(name)), key: readFileSync(certificateFile('node-key.pem')) }
}

/** Of `node.pem`. */
export const long: Validity = { fromWallMs: Date.UTC(2020, 0, 1), untilWallMs: Date.UTC(2120, 0, 1) }
/** Of `ended.pem`. */
export const ended: Validity = { fromWallMs: Date.UTC(2020, 0, 1), untilWallMs: Date.UTC(2021, 0, 1) }
