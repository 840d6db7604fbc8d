/** The part of `corral doctor` that looks at the certificates of https nodes: they end on a day that is known long before. */
import { isOverdue } from '../base/certificate.ts'
import type { Finding } from './finding.ts'
import type { NodeReport } from './node-probe.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000

/** What to do about a certificate that ends or has ended. A connection reads the authority's file when its node is made. */
export const renewHint =
  'renew it where TLS ends before that Ollama, and mend what should have done it; Corral is restarted only for another authority (caFile)'

/** Until when the certificate holds; nothing for a node without TLS. */
export function certificateFinding({ name, certificate }: Pick<NodeReport, 'name' | 'certificate'>, nowWallMs: number): Finding[] {
  if (certificate === null) return []
  const check = `certificate ${name}`
  const leftMs = certificate.untilWallMs - nowWallMs
  const until = new Date(certificate.untilWallMs).toISOString().slice(0, 16).replace('T', ' ')
  if (leftMs <= 0) return [{ check, status: 'fail', detail: `ended at ${until} UTC, ${amount(-leftMs)} ago`, hint: renewHint }]
  const detail = `holds until ${until} UTC, ${amount(leftMs)} more`
  return [isOverdue(certificate, nowWallMs) ? { check, status: 'warn', detail, hint: renewHint } : { check, status: 'ok', detail }]
}

function amount(ms: number): string {
  return ms < 2 * dayMs ? `${Math.floor(ms / hourMs)} h` : `${Math.floor(ms / dayMs)} d`
}
