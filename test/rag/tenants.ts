/** Two tenants on one gateway, with keys that read and write, and one that only reads. */
import { openPrincipal, type Scope } from '../../src/core/principal.ts'
import { operatorAct } from '../identity/fixture.ts'
import type { RagGateway } from './rag-gateway.ts'

export interface Tenants {
  readonly acme: string
  readonly rival: string
  /** Of acme. */
  readonly reader: string
}

export async function makeTenants(gateway: RagGateway): Promise<Tenants> {
  for (const tenant of ['acme', 'rival']) {
    await gateway.app.identity?.tenants.put(tenant, { title: tenant }, { ...operatorAct, by: openPrincipal })
  }
  const scopes: Scope[] = ['rag:read', 'rag:write']
  const [acme, rival] = [await gateway.key({ tenant: 'acme', scopes }), await gateway.key({ tenant: 'rival', scopes })]
  return { acme, rival, reader: await gateway.key({ tenant: 'acme', scopes: ['rag:read'] }) }
}
