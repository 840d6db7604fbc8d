/** What `corral serve` says when it starts: as text for people, as JSON lines for machines. Always on stderr. */
import { dataFolder } from '../config/data-folder.ts'
import type { Config } from '../config/index.ts'
import { maskUrl } from '../config/show.ts'
import type { Settings } from './settings.ts'
import { painter, printable, table } from './output.ts'
import { corralVersion } from './version.ts'

/** The part of a node that the banner shows. */
export interface NodeSight {
  readonly name: string
  readonly options: { readonly url: string }
  readonly up: boolean | null
  readonly downReason: string | null
  readonly version: string | null
  readonly models: { readonly size: number }
  readonly modelsKnown: boolean
  readonly loaded: { readonly size: number }
}

const paint = painter(process.stderr)

/** What to expect while the fleet is empty or down. */
export const noNodeText = 'no node answers: requests get 503 until one does; nodes are tried again all the time'

/** `http://127.0.0.1:11435`; an address of all interfaces is shown as the one of this machine. */
export function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

/** First lines, once the port listens. */
export function listeningLines({ config, file }: Settings, address: { readonly host: string; readonly port: number }): readonly string[] {
  const from = file ?? 'built-in defaults (no ./corral.yaml)'
  const routes = [
    'API /api /v1',
    config.features.console ? 'console /console/' : '',
    'health /readyz',
    config.observe.metrics.enabled ? 'metrics /metrics' : '',
  ].filter((text) => text !== '')
  const url = urlOf(address.host, address.port)
  const open =
    address.host === '0.0.0.0' || address.host === '::'
      ? `  ${paint('yellow', `on all interfaces (${address.host})${config.identity.mode === 'open' ? ', without authentication' : ''}`)}`
      : ''
  return [
    `${paint('bold', `corral ${corralVersion}`)}  node ${process.versions.node}  config: ${from}`,
    `store     ${storeText(config)}`,
    `listening ${paint('cyan', url)}  ${routes.join('  ')}${open}`,
  ]
}

/** Where what outlives the process is kept, and what would be another place. */
export function storeText({ store, redis }: Pick<Config, 'store' | 'redis'>): string {
  if (!store.enabled) return 'none (store.enabled): nothing outlives this process'
  const shared = redis.url === undefined ? null : `Redis at ${placeOf(redis.url)}`
  if (store.url !== null)
    return `PostgreSQL at ${placeOf(store.url)}${shared === null ? ' - set REDIS_URL for shared limits' : `, ${shared}`}`
  const hint = shared === null ? 'set DATABASE_URL for PostgreSQL, REDIS_URL for shared limits' : 'set DATABASE_URL for PostgreSQL'
  return `embedded (${printable(dataFolder({ store }))})${shared === null ? '' : `, ${shared}`} - ${hint}`
}

/** Host, port and name of a URL: nothing of it that may be secret. */
function placeOf(text: string): string {
  const url = URL.parse(text)
  return url === null ? 'its URL' : printable(`${url.host}${url.pathname}`)
}

function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function stateOf(node: NodeSight): string {
  if (node.up === true) {
    const models = node.modelsKnown ? `${countText(node.models.size, 'model')}, ${node.loaded.size} loaded` : ''
    return `${paint('green', 'up')}  ${printable(node.version ?? '')}  ${models}`.trimEnd()
  }
  const reason = node.downReason === null ? 'has not answered yet' : printable(node.downReason)
  return `${paint('red', 'down')}  ${reason}`
}

/** The nodes as the first probes found them, and what to try next. */
export function nodeLines(nodes: readonly NodeSight[], url: string): readonly string[] {
  const rows = nodes.map((node, index) => [index === 0 ? 'nodes   ' : '', node.name, maskUrl(node.options.url), stateOf(node)])
  const lines = rows.length === 0 ? ['nodes     none: add one with "corral nodes add URL"'] : table(rows).split('\n')
  if (nodes.some((node) => node.up === true)) {
    return [...lines, `try       ${paint('dim', `OLLAMA_HOST=${url.replace('http://', '')} ollama list`)}`]
  }
  return [...lines, paint('yellow', noNodeText)]
}

/** The first key of an installation, said this once. */
export function firstKeyLines(key: string, url: string): readonly string[] {
  return [
    `admin key ${paint('bold', key)}`,
    '          It may do everything and is not shown again. Make others with it:',
    `          CORRAL_API_KEY=${key} corral keys create --url ${url}`,
  ]
}
