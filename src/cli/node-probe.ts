/** Looks at one node directly, without a gateway: for `check` and `doctor`. Uses the same transport as the gateway. */
import { z } from 'zod'

import { readValidity, type Validity } from '../base/certificate.ts'
import { systemClock } from '../base/clock.ts'
import { nodePeer } from '../fleet/node-certificate.ts'
import type { FleetOptions, NodeOptions } from '../fleet/options.ts'
import { createTransport, type Transport, type WholeResponse } from '../fleet/transport.ts'
import { maskUrl } from '../config/show.ts'

export interface NodeReport {
  readonly name: string
  readonly url: string
  readonly reachable: boolean
  /** Why not, one sentence; null when reachable. */
  readonly reason: string | null
  readonly version: string | null
  /** Digest by model name. */
  readonly models: Readonly<Record<string, string>>
  readonly tookMs: number
  /** The node's clock minus ours, from its Date header; null when it sends none. */
  readonly clockAheadMs: number | null
  /** How long its certificate holds, also one that cannot be trusted; null without TLS. */
  readonly certificate: Validity | null
}

const versionAnswer = z.object({ version: z.string() })
const tagsAnswer = z.object({ models: z.array(z.object({ name: z.string(), digest: z.string().default('') })).nullish() })
const modelsBytesMax = 16 * 1_048_576

/** Asks a node for its version and its models. */
export async function probeNode(node: NodeOptions, fleet: FleetOptions): Promise<NodeReport> {
  const name = node.name ?? new URL(node.url).host
  const certificate = await certificateOf(node, fleet)
  const base = { name, url: maskUrl(node.url), version: null, models: {}, clockAheadMs: null, certificate }
  const startedMs = systemClock.nowMs()
  let transport: Transport | null = null
  try {
    const { url, headers, caFile } = node
    transport = createTransport({ url, headers, caFile, connectTimeoutMs: fleet.connectTimeoutMs, clock: systemClock })
    const version = await get(transport, '/api/version', fleet.probe.timeoutMs + fleet.connectTimeoutMs)
    const tookMs = systemClock.nowMs() - startedMs
    const clockAheadMs = clockAhead(version)
    const tags = tagsAnswer.parse(JSON.parse((await get(transport, '/api/tags', fleet.operations.timeoutMs)).body.toString()))
    const models = Object.fromEntries((tags.models ?? []).map((model) => [model.name, model.digest]))
    const parsed = versionAnswer.parse(JSON.parse(version.body.toString()))
    return { ...base, reachable: true, reason: null, version: parsed.version, models, tookMs, clockAheadMs }
  } catch (error) {
    return { ...base, reachable: false, reason: reasonText(error), tookMs: systemClock.nowMs() - startedMs }
  } finally {
    await transport?.close()
  }
}

/** Null without TLS, and where there is no handshake: why not is found by what is asked after it. */
async function certificateOf(node: NodeOptions, { connectTimeoutMs }: FleetOptions): Promise<Validity | null> {
  const peer = nodePeer(node)
  return peer === null ? null : readValidity(peer, { clock: systemClock, timeoutMs: connectTimeoutMs }).catch(() => null)
}

async function get(transport: Transport, path: string, timeoutMs: number): Promise<WholeResponse> {
  const response = await transport.request({ method: 'GET', path, headers: [], body: null }, { timeoutMs, bytesMax: modelsBytesMax })
  if (response.status !== 200) throw new Error(`GET ${path} answered ${response.status}`)
  return response
}

function clockAhead({ headers }: WholeResponse): number | null {
  const date = headers['date']
  const wallMs = typeof date === 'string' ? Date.parse(date) : NaN
  return Number.isNaN(wallMs) ? null : wallMs - systemClock.wallMs()
}

function reasonText(error: unknown): string {
  if (error instanceof SyntaxError || error instanceof z.ZodError) return 'it answers, but not as an Ollama does'
  return error instanceof Error ? error.message : String(error)
}
