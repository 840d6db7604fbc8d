/** What will end if nobody renews it, copied at each scrape: certificates of what Corral stands on, and API keys. */
import type { Validity } from '../base/certificate.ts'
import type { Metrics } from './metrics.ts'

const msPerSecond = 1_000

/** Makes each scrape show how long the certificates by dependency hold, as far as that is known. */
export function addCertificateMetrics(
  metrics: Metrics,
  certificates: readonly (readonly [dependency: string, { readonly validity: Validity | null }])[],
): void {
  const { certificateExpiry, certificateLifetime } = metrics.families
  metrics.addSource(() => {
    for (const [dependency, { validity }] of certificates) {
      if (validity === null) continue
      certificateExpiry.at(dependency).value = validity.untilWallMs / msPerSecond
      certificateLifetime.at(dependency).value = (validity.untilWallMs - validity.fromWallMs) / msPerSecond
    }
  })
}

/** What is read of identity. */
export interface KeyEnds {
  /** Null until the store was asked, and where no keys are kept or taken. */
  keyEnds(): readonly { readonly kind: string; readonly expiring: number; readonly firstEndsAtWallMs: number | null }[] | null
}

/** Makes each scrape show how many keys end soon, and when the first does. */
export function addKeyMetrics(metrics: Metrics, identity: KeyEnds): void {
  const { keysExpiring, keyExpiry } = metrics.families
  metrics.addSource(() => {
    keyExpiry.clear()
    for (const { kind, expiring, firstEndsAtWallMs } of identity.keyEnds() ?? []) {
      keysExpiring.at(kind).value = expiring
      if (firstEndsAtWallMs !== null) keyExpiry.at(kind).value = firstEndsAtWallMs / msPerSecond
    }
  })
}
