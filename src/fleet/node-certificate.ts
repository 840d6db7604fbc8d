/** The watch on the certificate of an https node. It asks for the same name as the requests do: that of the node's own `Host`, if it has one. */
import { tlsPeerOf, type TlsPeer } from '../base/certificate.ts'
import { CertificateWatch, type CertificateWatchDeps } from '../base/certificate-watch.ts'
import type { NodeOptions } from './options.ts'

/** Null for a node that is reached without TLS. */
export function watchCertificate(options: NodeOptions, deps: Omit<CertificateWatchDeps, 'peers'>): CertificateWatch | null {
  const peer = nodePeer(options)
  return peer === null ? null : new CertificateWatch({ ...deps, peers: () => [peer] })
}

/** Where the node speaks TLS; null: it does not. */
export function nodePeer({ url, headers }: NodeOptions): TlsPeer | null {
  const peer = tlsPeerOf(url)
  const [, named] = Object.entries(headers).find(([name]) => name.toLowerCase() === 'host') ?? []
  const asked = named === undefined || !URL.canParse(`https://${named}`) ? null : tlsPeerOf(`https://${named}`)
  return peer === null || asked === null ? peer : { ...peer, serverName: asked.serverName }
}
