/** Where Postgres speaks TLS, as the driver itself reads a URL and the variables of the environment (`sslmode`, `PGSSLMODE`). */
import pg from 'pg'

import { serverNameOf, type TlsPeer } from '../base/certificate.ts'

/** Empty where the driver would not speak TLS. Throws when a file that the URL names cannot be read. */
export function tlsPeersOf(url: string): readonly TlsPeer[] {
  // Not connected: it only reads.
  const client = new pg.Client({ connectionString: url })
  const { host, port, ssl } = client
  if (!ssl) return []
  const isDirect = 'sslNegotiation' in client && client.sslNegotiation === 'direct'
  const way = isDirect ? ({ opening: 'tls', protocol: 'postgresql' } as const) : ({ opening: 'postgres' } as const)
  return [{ host, port, serverName: serverNameOf(host), ...way }]
}
