/** The watch on the certificate of an https node. It asks for the same name as the requests do: that of the node's own `Host`, if it has one. */
import { serverNameOf, type TlsPeer } from '../base/certificate.ts'
import { CertificateWatch, type CertificateWatchDeps } from '../base/certificate-watch.ts'
import type { NodeOptions } from './options.ts'

const httpsPort = 443

/** Null for a node that is reached without TLS. */
export function watchCertificate(options: NodeOptions, deps: Omit<CertificateWatchDeps, 'peers'>): CertificateWatch | null {
  const peer = tlsPeerOf(options)
  return peer === null ? null : new CertificateWatch({ ...deps, peers: () => [peer] })
}

/** Where the node speaks TLS; null: it does not. */
export function tlsPeerOf({ url: text, headers }: NodeOptions): TlsPeer | null {
  const url = new URL(text)
  if (url.protocol !== 'https:') return null
  const [, named] = Object.entries(headers).find(([name]) => name.toLowerCase() === 'host') ?? []
  const host = hostOf(url)
  const asked = hostOf(URL.parse(`https://${named ?? url.host}`) ?? url)
  return { host, port: url.port === '' ? httpsPort : Number(url.port), serverName: serverNameOf(asked), opening: 'tls' }
}

/** Without the brackets of an address. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '')
}
