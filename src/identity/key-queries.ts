/** The statements of the key store. `key-rows.ts` decodes what they give. */
import { keyColumns } from './key-rows.ts'

const findText = `
select ${keyColumns
  .split(', ')
  .map((column) => `k.${column}`)
  .join(', ')}, k.pepper, encode(k.digest, 'hex') as digest_hex, t.limits as tenant_limits, t.suspended_at
from api_keys k join tenants t on t.tenant = k.tenant`

/** Of a tenant, or of all; behind a place; newest first. */
export const listText = `
select ${keyColumns} from api_keys
where ($1::text is null or tenant = $1) and ($2::timestamptz is null or (created_at, id) < ($2::timestamptz, $3::text))
order by created_at desc, id desc limit $4`

export const secretsText = `${findText} where k.kind = 'secret' and k.id = any($1::text[])`

export const signersText = `${findText} where k.kind = 'ed25519' and k.revoked_at is null
  and k.digest in (select decode(wanted, 'hex') from unnest($1::text[]) as wanted)`

export const insertText = `
insert into api_keys (id, tenant, kind, digest, pepper, title, scopes, models, node_group, limits, created_at, created_by, expires_at, rotated_from, cache)
values ($1, $2, $3, decode($4, 'hex'), $5, $6, $7::jsonb, $8::jsonb, $9, $10::jsonb, $11::timestamptz, $12, $13::timestamptz, $14, $15)
returning ${keyColumns}`

export const usedText = `
update api_keys set last_used_at = greatest(last_used_at, used.at)
from (select e->>0 as id, (e->>1)::timestamptz as at from jsonb_array_elements($1::jsonb) as e) as used
where api_keys.id = used.id`

/** Of a public key the schema allows one key that is not revoked, whether or not it has expired. */
export const retireText = `
update api_keys set revoked_at = $2::timestamptz, revoked_reason = $3
where kind = 'ed25519' and digest = decode($1, 'hex') and revoked_at is null and expires_at <= $2::timestamptz
returning ${keyColumns}`
