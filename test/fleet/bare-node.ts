/** Nodes without sockets, for what only reads a node: the lists say what a test gives them. */
import { createBreaker } from '../../src/fleet/breaker.ts'
import type { FleetNode, LoadedModel, ModelTag } from '../../src/fleet/node.ts'
import { fleetOptions, nodeOptions } from '../../src/fleet/options.ts'
import type { Transport } from '../../src/fleet/transport.ts'

const { breaker } = fleetOptions.parse({})

const noTransport: Transport = {
  url: 'http://nowhere',
  open: () => {
    throw new Error('a bare node was asked')
  },
  request: () => Promise.reject(new Error('a bare node was asked')),
  closeWhenIdle: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

export interface BareModel {
  readonly digest?: string
  readonly modifiedAt?: string
  readonly sizeBytes?: number
  readonly remoteHost?: string
}

/** A node that is up and lists `models` by name. */
export function bareNode(
  name: string,
  models: Readonly<Record<string, BareModel>> = {},
  options: { readonly slots?: number; readonly group?: string } = {},
): FleetNode {
  const node: FleetNode = {
    name,
    options: nodeOptions.parse({ url: `http://${name}`, ...options }),
    transport: noTransport,
    breaker: createBreaker(
      () => breaker,
      () => 0.5,
    ),
    certificate: null,
    up: true,
    downReason: null,
    lastFailure: null,
    draining: false,
    version: '0.33.0',
    lastSeenMs: 0,
    probeMs: null,
    upSinceMs: -Infinity,
    models: new Map(),
    modelsKnown: true,
    loaded: new Map(),
    loadedAtMs: -Infinity,
    overloadedUntilMs: -Infinity,
  }
  list(node, models)
  return node
}

/** Gives a node another model list. */
export function list(node: FleetNode, models: Readonly<Record<string, BareModel>>): void {
  node.models = new Map(Object.entries(models).map(([name, model]) => [name, tag(name, model)]))
}

function tag(name: string, { digest = 'd1', modifiedAt = '2026-01-01T00:00:00Z', sizeBytes = 1_000, remoteHost }: BareModel): ModelTag {
  return { name, digest, modifiedAt, sizeBytes, remoteHost: remoteHost ?? null, raw: { name, digest } }
}

/** Of no digest is it known which weights it has. */
export const noWeights = { optionsOf: () => null, besideOf: () => '' }

/** What `/api/ps` of a node says from `nowMs` on: sizes in bytes by model name. */
export function load(node: FleetNode, sizes: Readonly<Record<string, number>>, nowMs: number): void {
  const loaded = Object.entries(sizes).map(([name, sizeBytes]): [string, LoadedModel] => [
    name,
    {
      name,
      digest: node.models.get(name)?.digest ?? 'd1',
      sizeBytes,
      vramBytes: sizeBytes,
      contextLength: 4_096,
      expiresAtMs: Infinity,
      raw: {},
    },
  ])
  node.loaded = new Map(loaded)
  node.loadedAtMs = nowMs
}
