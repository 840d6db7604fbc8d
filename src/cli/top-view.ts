/** The screen of `corral top` as text: a pure function of the fleet and the size of the terminal. */
import { formatDuration } from '../base/units.ts'
import { type FleetView, nodeState, type NodeView } from './fleet-view.ts'
import { stateTones } from './nodes.ts'
import { printable, table, type Tone, widthOf } from './output.ts'

export interface TopFrame {
  readonly fleet: FleetView
  readonly url: string
  /** Set while the gateway does not answer: the fleet shown is then the last one known. */
  readonly stale: string | null
  readonly columns: number
  readonly rows: number
}

export type Paint = (tone: Tone, text: string) => string

const meterCells = 10

function meter(inFlight: number, slots: number | null): string {
  if (slots === null || slots === 0) return String(inFlight)
  const filled = Math.min(meterCells, Math.round((inFlight / slots) * meterCells))
  return `${'|'.repeat(filled)}${'.'.repeat(meterCells - filled)} ${inFlight}/${slots}`
}

/** Slots of the models that run or rest in memory there; null when nobody bounds one of them. */
function slotsOf({ runners }: NodeView): number | null {
  const used = runners.filter((runner) => runner.resident || runner.inFlight > 0)
  if (used.length === 0 || used.some((runner) => runner.slots === null)) return null
  return used.reduce((sum, runner) => sum + (runner.slots ?? 0), 0)
}

function modelsOf(node: NodeView): string {
  const loaded = node.loaded.map(({ model, vramBytes }) => `${printable(model)} ${(vramBytes / 1e9).toFixed(1)}G`)
  const loading = node.runners
    .filter((runner) => runner.loading !== null)
    .map((runner) => `${printable(runner.model)} loading, ${formatDuration(runner.loading?.remainingMs ?? 0)} left`)
  return [...loaded, ...loading].join('  ') || '-'
}

function speedOf({ runners }: NodeView): string {
  const rates = runners.filter((runner) => runner.inFlight > 0 && (runner.decodeMsPerToken ?? 0) > 0)
  const tokensPerS = rates.reduce((sum, runner) => sum + (1_000 / (runner.decodeMsPerToken ?? Infinity)) * runner.inFlight, 0)
  return tokensPerS === 0 ? '-' : tokensPerS.toFixed(0)
}

function nodeRow(node: NodeView, paint: Paint): string[] {
  const state = nodeState(node)
  const what = node.up === false ? paint('red', printable(node.downReason ?? '')) : modelsOf(node)
  return [
    node.name,
    paint(stateTones[state], state),
    printable(node.version ?? '-'),
    meter(node.inFlight, slotsOf(node)),
    speedOf(node),
    what,
  ]
}

function poolRows({ pools }: FleetView): string[][] {
  return pools
    .toSorted((a, b) => b.queued - a.queued || a.model.localeCompare(b.model))
    .map(({ model, queued, queueMax, slots, etaMs }) => [
      printable(model),
      `${queued}/${queueMax}`,
      slots === null ? '-' : String(slots),
      queued === 0 ? '-' : formatDuration(etaMs),
    ])
}

/** Cuts to `columns`; escape sequences take none and colours end at the cut. */
function clip(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line
  let width = 0
  let text = ''
  // oxlint-disable-next-line no-control-regex
  for (const [part] of line.matchAll(/\u001b\[[0-9;]*m|[^\u001b]/gu)) {
    if (part.length > 1 && part.startsWith('\u001b')) {
      text += part
    } else if (width < columns) {
      text += part
      width += 1
    }
  }
  return text
}

/** The lines of the screen, at most `rows`, each at most `columns` wide. */
export function topLines({ fleet, url, stale, columns, rows }: TopFrame, paint: Paint): readonly string[] {
  const up = fleet.nodes.filter((node) => node.up === true).length
  const queued = fleet.pools.reduce((sum, pool) => sum + pool.queued, 0)
  const head = `${paint('bold', 'corral top')}  ${url}  nodes ${up}/${fleet.nodes.length} up  running ${fleet.activeAttempts}  waiting ${queued}`
  const nodeHead = ['NODE', 'STATE', 'VERSION', 'RUNNING', 'TOK/S', 'MODELS IN MEMORY'].map((text) => paint('dim', text))
  const lines = [head]
  if (stale !== null) lines.push(paint('red', `not answering, this is the last known state: ${stale}`))
  lines.push('', ...table([nodeHead, ...fleet.nodes.map((node) => nodeRow(node, paint))]).split('\n'))
  const pools = poolRows(fleet)
  if (pools.length > 0) {
    const poolHead = ['MODEL', 'WAITING', 'SLOTS', 'NEXT IN'].map((text) => paint('dim', text))
    lines.push('', ...table([poolHead, ...pools]).split('\n'))
  }
  for (const { model, digests } of fleet.drift) {
    const groups = Object.values(digests).map((names) => names.join(', '))
    lines.push('', paint('yellow', `drift: ${printable(model)} differs between ${groups.join(' and ')}`))
  }
  return lines.slice(0, rows).map((line) => clip(line, columns))
}
