/**
 * Alerts on what ends unless somebody renews it. A certificate is told of by what is left of it, or by the share of its life that is left
 * where that is less: one that lives for hours and is renewed in time must alarm nobody.
 */
import { renewal } from '../../base/certificate.ts'
import { type Alert, day, hour, minute } from './alert.ts'

const msPerSecond = 1_000
/** What nobody has renewed by then needs somebody now. */
const lastSeconds = day
const lastLifeShare = 1 / 8

/** All of them. */
export function expiryAlerts(): Alert[] {
  return [
    {
      name: 'CorralCertificateExpiring',
      expr: certificatesWithin(renewal.leftMs / msPerSecond, renewal.lifeShare),
      forSeconds: hour,
      severity: 'ticket',
      summary: 'the certificate of {{ or $labels.node $labels.dependency }} holds for {{ $value | humanizeDuration }} more',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralCertificateExpiringSoon',
      expr: certificatesWithin(lastSeconds, lastLifeShare),
      forSeconds: 15 * minute,
      severity: 'page',
      summary: 'the certificate of {{ or $labels.node $labels.dependency }} holds for only {{ $value | humanizeDuration }} more',
      dashboard: 'corral-runtime',
    },
    {
      name: 'CorralKeyExpiring',
      expr: 'max by (job, kind) (corral_keys_expiring) > 0',
      forSeconds: hour,
      severity: 'ticket',
      summary: '{{ $value }} API keys ({{ $labels.kind }}) end within 7 days and have no successor',
      dashboard: 'corral-runtime',
    },
  ]
}

/** Seconds that are left of each certificate of which less is left than both. The one that ends first counts, of all that replicas see. */
function certificatesWithin(seconds: number, lifeShare: number): string {
  const endingOf = (label: string, metric: string): string => {
    const least = (what: string): string => `min by (job, ${label}) (${metric}_${what})`
    return `${least('expiry_timestamp_seconds')} - time() < clamp_max(${least('lifetime_seconds')} * ${lifeShare}, ${seconds})`
  }
  return `${endingOf('node', 'corral_node_certificate')} or ${endingOf('dependency', 'corral_dependency_certificate')}`
}
