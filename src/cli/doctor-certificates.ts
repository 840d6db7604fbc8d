/**
 * The part of `corral doctor` that looks at certificates, of https nodes, of the issuers of tokens and of the collector of traces: they end on a
 * day that is known long before.
 */
import { isOverdue, readValidity, tlsPeerOf } from '../base/certificate.ts'
import { systemClock } from '../base/clock.ts'
import type { Config } from '../config/schema.ts'
import type { Finding } from './finding.ts'
import type { NodeReport } from './node-probe.ts'
import { printable } from './output.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000

/** What to do about a certificate that ends or has ended. A connection reads the authority's file when its node is made. */
export const renewHint =
  'renew it where TLS ends before that Ollama, and mend what should have done it; Corral is restarted only for another authority (caFile)'

/** The same where no Ollama is behind it. */
const otherHint = 'renew it where TLS ends there, or tell those who run it'
const handshakeMs = 5_000

/** Until when those hold that the issuers of tokens and the collector of traces show; nothing of what is reached without TLS. */
export async function dependencyCertificateFindings({ identity, observe }: Pick<Config, 'identity' | 'observe'>): Promise<Finding[]> {
  const { endpoint } = observe.trace
  const named = identity.issuers.map(({ issuer, jwksUrl }) => [`issuer ${printable(issuer)}`, jwksUrl] as const)
  const asked = endpoint === undefined ? named : [...named, ['collector', endpoint] as const]
  return (await Promise.all(asked.map(([name, url]) => lookAt(name, url)))).flat()
}

async function lookAt(name: string, url: string): Promise<Finding[]> {
  const peer = tlsPeerOf(url)
  if (peer === null) return []
  try {
    const certificate = await readValidity(peer, { clock: systemClock, timeoutMs: handshakeMs })
    return certificateFinding({ name, certificate }, systemClock.wallMs(), otherHint)
  } catch (error) {
    const detail = `none to be seen at ${peer.host}:${peer.port}: ${printable(error instanceof Error ? error.message : String(error))}`
    return [{ check: `certificate ${name}`, status: 'warn', detail, hint: 'is it reachable from here, and does it speak TLS?' }]
  }
}

/** Until when the certificate holds; nothing for a node without TLS. */
export function certificateFinding(
  { name, certificate }: Pick<NodeReport, 'name' | 'certificate'>,
  nowWallMs: number,
  hint: string = renewHint,
): Finding[] {
  if (certificate === null) return []
  const check = `certificate ${name}`
  const leftMs = certificate.untilWallMs - nowWallMs
  const until = new Date(certificate.untilWallMs).toISOString().slice(0, 16).replace('T', ' ')
  if (leftMs <= 0) return [{ check, status: 'fail', detail: `ended at ${until} UTC, ${amount(-leftMs)} ago`, hint }]
  const detail = `holds until ${until} UTC, ${amount(leftMs)} more`
  return [isOverdue(certificate, nowWallMs) ? { check, status: 'warn', detail, hint } : { check, status: 'ok', detail }]
}

function amount(ms: number): string {
  return ms < 2 * dayMs ? `${Math.floor(ms / hourMs)} h` : `${Math.floor(ms / dayMs)} d`
}
