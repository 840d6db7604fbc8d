/** `corral nodes ls|add|rm|drain|undrain`: the nodes of a running gateway. */
import { formatDuration } from '../base/units.ts'
import { type FleetView, nodeState, type NodeView } from './fleet-view.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { gatewayOf, type GatewayOptions } from './gateway.ts'
import { painter, printable, printData, printJson, printMessage, table, type Tone } from './output.ts'

export const stateTones: Readonly<Record<ReturnType<typeof nodeState>, Tone>> = {
  up: 'green',
  down: 'red',
  ejected: 'red',
  draining: 'yellow',
  probation: 'yellow',
  unknown: 'dim',
}

function nodeRow(node: NodeView, paint: (tone: Tone, text: string) => string): string[] {
  const state = nodeState(node)
  return [
    node.name,
    paint(stateTones[state], state),
    printable(node.version ?? '-'),
    String(node.inFlight),
    node.models === null ? '-' : String(node.models.length),
    String(node.loaded.length),
    node.lastSeenAgoMs === null ? 'never' : `${formatDuration(node.lastSeenAgoMs)} ago`,
    printable(node.downReason === null ? node.url : `${node.url}  ${node.downReason}`),
  ]
}

/** The nodes as a table. */
export function nodesTable({ nodes }: FleetView, paint: (tone: Tone, text: string) => string): string {
  if (nodes.length === 0) return 'no nodes: add one with "corral nodes add URL"'
  const head = ['NODE', 'STATE', 'VERSION', 'RUNNING', 'MODELS', 'LOADED', 'SEEN', 'URL'].map((text) => paint('dim', text))
  return table([head, ...nodes.map((node) => nodeRow(node, paint))])
}

/** What the table does not show: nodes that were taken out by hand, and processes of the gateway that are not in it. */
export function nodesNotes({ changedByHand, coverage }: FleetView): string[] {
  const removed = changedByHand.filter(({ kind }) => kind === 'removed').map(({ name }) => printable(name))
  return [
    ...(removed.length === 0 ? [] : [`taken out by hand: ${removed.join(', ')}; "corral nodes add URL" brings one back`]),
    ...(coverage.redisAway ? ['Redis is away: this is what one replica sees'] : []),
    ...(coverage.silent === 0 ? [] : [`${coverage.silent} of the gateway's processes did not answer in time, and stay out of it`]),
  ]
}

/** Lists. Exit code 1 when a node is down. */
export async function nodesLsCommand(options: GatewayOptions): Promise<void> {
  const fleet = await (await gatewayOf(options)).fleet()
  if (options.json === true) printJson(fleet.nodes)
  else {
    printData(nodesTable(fleet, painter(process.stdout)))
    for (const note of nodesNotes(fleet)) printMessage(note)
  }
  if (fleet.nodes.some((node) => node.up !== true)) process.exitCode = exitCodes.failure
}

export interface AddOptions extends GatewayOptions {
  readonly name?: string
  readonly slots?: string
}

/** What is said of a change that the store does not have. */
const notKept = 'not kept: there is no store, or it is away'

/** Adds a node. */
export async function nodesAddCommand(url: string, options: AddOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  const slots = options.slots === undefined ? {} : { slots: Number(options.slots) }
  const name = options.name === undefined ? {} : { name: options.name }
  const added = await gateway.request('POST', '/admin/nodes', { url, ...name, ...slots })
  if (options.json === true) printJson(added)
  const known = new Map<string, unknown>(typeof added === 'object' && added !== null ? Object.entries(added) : [])
  const reason = known.get('downReason')
  const addedName = known.get('name')
  const state = known.get('up') === true ? 'it is up' : `it does not answer${typeof reason === 'string' ? `: ${printable(reason)}` : ''}`
  const kept = known.get('kept') === true ? 'kept over a restart, and for all replicas' : `${notKept}; write it under fleet.nodes`
  printMessage(`added ${typeof addedName === 'string' ? addedName : url}, ${state}; ${kept}`)
}

/** Takes a node out; its open streams end by themselves. */
export async function nodesRemoveCommand(name: string, options: GatewayOptions): Promise<void> {
  const gateway = await gatewayOf(options)
  await gateway.request('DELETE', `/admin/nodes/${encodeURIComponent(name)}`)
  if (options.json === true) printJson({ name, removed: true })
  printMessage(`removed ${name}; "corral nodes add" brings it back, and so does a new entry in fleet.nodes; without a store a restart, too`)
}

/** Stops or resumes new requests to a node. */
export async function nodesDrainCommand(name: string, draining: boolean, options: GatewayOptions): Promise<void> {
  if (name === '') throw new CliError(exitCodes.usage, 'name a node')
  const gateway = await gatewayOf(options)
  const answer = await gateway.request('POST', `/admin/nodes/${encodeURIComponent(name)}/${draining ? 'drain' : 'undrain'}`, {})
  if (options.json === true) printJson(answer)
  const isKept = typeof answer !== 'object' || answer === null || !('kept' in answer) || answer.kept === true
  const said = draining
    ? `${name} gets no new requests; running ones end by themselves. Back with "corral nodes undrain ${name}"`
    : `${name} gets requests again`
  printMessage(isKept || !draining ? said : `${said} (${notKept})`)
}
