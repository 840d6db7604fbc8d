/**
 * A gateway that asks for keys, on a store of its own: reads its first key from what it says at its start, and makes more keys
 * over its admin API, as an operator does.
 */
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import type { Gateway, GatewaySettings } from './gateway.ts'
import { manySlots } from './gateway.ts'
import type { Postgres } from './services.ts'
import type { Stage } from './stage.ts'

/** The same for all replicas of a bench. */
export const sharedSecret = 'the secret of a bench, the same for all replicas'

export interface ClosedSettings extends GatewaySettings {
  readonly postgres: Pick<Postgres, 'pooledUrl' | 'directUrl'>
  readonly redisUrl?: string
  readonly mode?: 'keys' | 'both'
}

const keyPattern = /corral_[0-9A-Za-z]{12}_[0-9A-Za-z]+/
const startMsMax = 20_000

/** The environment of an authenticating gateway on `postgres`, with Redis where there is one. */
function closedEnv({ postgres, redisUrl, mode = 'keys', env }: ClosedSettings): Record<string, string> {
  return {
    ...manySlots.env,
    CORRAL_SECRET: sharedSecret,
    CORRAL_IDENTITY__MODE: mode,
    CORRAL_STORE__ENABLED: 'true',
    CORRAL_STORE__URL: postgres.pooledUrl,
    CORRAL_STORE__DIRECT_URL: postgres.directUrl,
    ...(redisUrl === undefined ? {} : { CORRAL_REDIS__URL: redisUrl }),
    ...env,
  }
}

/** The first gateway on a store; `adminKey` is the key it made. */
export async function firstClosed(
  stage: Stage,
  ports: readonly number[],
  settings: ClosedSettings,
): Promise<{ readonly gateway: Gateway; readonly adminKey: string }> {
  const gateway = await stage.gateway(ports, { ...settings, env: closedEnv(settings) })
  const endMs = systemClock.nowMs() + startMsMax
  let adminKey = keyPattern.exec(gateway.said())?.[0]
  while (adminKey === undefined) {
    if (systemClock.nowMs() > endMs) throw new Error(`the gateway made no first key: ${gateway.said()}`)
    await systemClock.sleep(10)
    adminKey = keyPattern.exec(gateway.said())?.[0]
  }
  return { gateway, adminKey }
}

/** A further replica; resolves when it takes the key. */
export async function nextClosed(
  stage: Stage,
  ports: readonly number[],
  settings: ClosedSettings & { adminKey: string },
): Promise<Gateway> {
  const gateway = await stage.gateway(ports, { ...settings, env: closedEnv(settings) })
  const endMs = systemClock.nowMs() + startMsMax
  const authorization = `Bearer ${settings.adminKey}`
  while ((await fetch(`http://127.0.0.1:${gateway.port}/api/tags`, { headers: { authorization } })).status !== 200) {
    if (systemClock.nowMs() > endMs) throw new Error(`a replica does not take the first key: ${gateway.said()}`)
    await systemClock.sleep(20)
  }
  return gateway
}

/** What a key may use, per minute and at once; left out: no limit. */
export interface KeyLimits {
  readonly requestsPerMinute?: number
  readonly tokensPerMinute?: number
  readonly concurrency?: number
  readonly gpuSecondsPerDay?: number
  readonly gpuSecondsPerMonth?: number
}

const madeKey = z.object({ key: z.string() })

/** Makes a key that may chat and embed. */
export async function newKey(port: number, adminKey: string, limits: KeyLimits = {}): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/admin/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ title: 'bench', scopes: ['chat', 'embed', 'models:read'], limits }),
  })
  const text = await response.text()
  if (response.status !== 201) throw new Error(`no key: ${response.status} ${text}`)
  return madeKey.parse(JSON.parse(text)).key
}
