/** `corral keys create|ls|rotate|revoke|restore`: API keys of a running gateway. A key's text goes to stdout, alone, so that a script can take it. */
import { readFile } from 'node:fs/promises'

import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { everyPage } from './every-page.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { type Gateway, gatewayOf, type GatewayOptions } from './gateway.ts'
import { type LimitFlags, limitsOf } from './limit-flags.ts'
import { painter, printable, printData, printJson, printMessage, table, type Tone } from './output.ts'

const keyView = z.object({
  id: z.string(),
  tenant: z.string(),
  kind: z.string(),
  title: z.string(),
  scopes: z.array(z.string()),
  models: z.array(z.string()).nullable(),
  expiresAt: z.string().nullable(),
  lastUsedAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
  revokedReason: z.string().nullable(),
  /** Null from a gateway that knows of none, too. */
  restorableUntil: z.string().nullable().default(null),
})
/** A gateway of an older release gives one page and knows of no other. */
const keyPage = z.object({ keys: z.array(keyView), next: z.string().nullable().default(null) })
const madeKey = keyView.extend({ key: z.string().nullable() })

type KeyView = z.infer<typeof keyView>

export interface CreateOptions extends GatewayOptions, LimitFlags {
  readonly title?: string
  readonly scope?: readonly string[]
  readonly model?: readonly string[]
  readonly tenant?: string
  readonly nodeGroup?: string
  readonly cache?: string
  readonly expires?: string
  readonly publicKey?: string
}

/** What a caller of models needs. */
const usualScopes = ['chat', 'embed', 'models:read']

/** Makes a key and prints it, this once. */
export async function keysCreateCommand(options: CreateOptions): Promise<void> {
  const { title, scope = usualScopes, model, tenant, nodeGroup, cache, expires, publicKey } = options
  const limits = limitsOf(options)
  const wish = {
    scopes: scope,
    ...(title === undefined ? {} : { title }),
    ...(model === undefined ? {} : { models: model }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(nodeGroup === undefined ? {} : { nodeGroup }),
    ...(cache === undefined ? {} : { cache }),
    ...(expires === undefined ? {} : { expiresIn: expires }),
    ...(limits === null ? {} : { limits }),
    ...(publicKey === undefined ? {} : { publicKey: await readPublicKey(publicKey) }),
  }
  const gateway = await gatewayOf(options)
  await printMade(await gateway.request('POST', '/admin/keys', wish), options)
}

export interface ListOptions extends GatewayOptions {
  readonly tenant?: string
  readonly all?: boolean
}

/** Lists keys in use; all with `--all`. */
export async function keysLsCommand(options: ListOptions): Promise<void> {
  const keys = await allKeys(await gatewayOf(options), options.tenant)
  const shown = options.all === true ? keys : keys.filter((key) => stateOf(key) !== 'revoked' && stateOf(key) !== 'expired')
  if (options.json === true) printJson(shown)
  else printData(keysTable(shown, painter(process.stdout)))
}

function allKeys(gateway: Gateway, tenant: string | undefined): Promise<KeyView[]> {
  return everyPage('/admin/keys', {
    query: new URLSearchParams(tenant === undefined ? {} : { tenant }),
    cursor: 'before',
    read: async (path) => {
      const { keys: items, next } = decode(keyPage, await gateway.request('GET', path))
      return { items, next }
    },
  })
}

export interface RotateOptions extends GatewayOptions {
  readonly overlap?: string
  readonly expires?: string
}

/** Makes a successor with the same rights and prints it. */
export async function keysRotateCommand(id: string, options: RotateOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const { overlap, expires } = options
  const terms = { ...(overlap === undefined ? {} : { overlap }), ...(expires === undefined ? {} : { expiresIn: expires }) }
  await printMade(await gateway.request('POST', `/admin/keys/${encodeURIComponent(id)}/rotate`, terms), options)
  printMessage(`${printable(id)} goes on for ${overlap ?? 'identity.keys.overlapMs'}, then only the new one works`)
}

/** Takes a key out at once. */
export async function keysRevokeCommand(id: string, options: GatewayOptions & { readonly reason: string }): Promise<void> {
  const gateway = await gatewayOf(options)
  const revoked = await gateway.request('POST', `/admin/keys/${encodeURIComponent(id)}/revoke`, { reason: options.reason })
  if (options.json === true) printJson(revoked)
  printMessage(`revoked ${printable(id)}: it is refused from now on, by other replicas within about a second`)
  const { restorableUntil } = decode(keyView, revoked)
  if (restorableUntil !== null) printMessage(`a slip? "corral keys restore ${printable(id)}" takes it back until ${restorableUntil}`)
}

/** Takes a revocation back, shortly after it. */
export async function keysRestoreCommand(id: string, options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const restored = await gateway.request('POST', `/admin/keys/${encodeURIComponent(id)}/restore`, {})
  if (options.json === true) printJson(restored)
  printMessage(`restored ${printable(id)}: it is let in as before, by other replicas within about a second`)
}

async function printMade(answer: unknown, { json }: GatewayOptions): Promise<void> {
  const made = decode(madeKey, answer)
  if (json === true) printJson(answer)
  else printData(made.key ?? made.id)
  const life = made.expiresAt === null ? 'it never expires' : `it expires on ${made.expiresAt.slice(0, 10)}`
  const what = made.key === null ? 'the public key is registered' : 'this is shown only now; keep it'
  printMessage(`key ${made.id} of ${printable(made.tenant)}, scopes ${made.scopes.join(' ')}: ${what}; ${life}`)
}

type KeyState = 'active' | 'revoked' | 'expired'

const stateTones: Readonly<Record<KeyState, Tone>> = { active: 'green', revoked: 'red', expired: 'yellow' }

/** By the clock of this machine; the gateway goes by its own. */
function stateOf({ revokedAt, expiresAt }: KeyView): KeyState {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && Date.parse(expiresAt) <= systemClock.wallMs() ? 'expired' : 'active'
}

function keysTable(keys: readonly KeyView[], paint: (tone: Tone, text: string) => string): string {
  if (keys.length === 0) return 'no keys: make one with "corral keys create"'
  const head = ['ID', 'STATE', 'TENANT', 'SCOPES', 'MODELS', 'EXPIRES', 'LAST USED', 'TITLE'].map((text) => paint('dim', text))
  return table([head, ...keys.map((key) => keyRow(key, paint))])
}

function keyRow(key: KeyView, paint: (tone: Tone, text: string) => string): string[] {
  const state = stateOf(key)
  return [
    key.id,
    paint(stateTones[state], state),
    printable(key.tenant),
    key.scopes.join(' '),
    printable(key.models?.join(' ') ?? 'all'),
    key.expiresAt?.slice(0, 10) ?? 'never',
    key.lastUsedAt?.slice(0, 16).replace('T', ' ') ?? 'never',
    printable(key.revokedReason === null ? key.title : `${key.title}  ${key.revokedReason}`),
  ]
}

async function readPublicKey(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new CliError(exitCodes.usage, `--public-key: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** An answer of the shape this version knows. */
export function decode<T>(shape: z.ZodType<T>, answer: unknown): T {
  const parsed = shape.safeParse(answer)
  if (parsed.success) return parsed.data
  throw new CliError(exitCodes.failure, 'the gateway answered in a shape that this version does not know')
}
