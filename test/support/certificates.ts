/** The certificates of test/data/tls, as servers show them, and how long they hold. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

import { onTestFinished } from 'vitest'

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

/** A server until the end of the test that shows this certificate; its address. `answers` are JSON by path, `{}` for all others. */
export async function startSecureServer(name: string, answers: Readonly<Record<string, object>> = {}): Promise<string> {
  const server = createServer(
    certificate(name),
    (incoming, outgoing) => void outgoing.end(JSON.stringify(answers[incoming.url ?? ''] ?? {})),
  )
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return `https://127.0.0.1:${port}`
}
