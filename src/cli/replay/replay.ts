/**
 * `corral replay FILE --policy X`: the requests of a log once more, in virtual time, under the policy in force and under another one, before
 * anything is switched. Nothing is sent to a node.
 */
import { formatDuration, parseBytes } from '../../base/units.ts'
import type { Config } from '../../config/schema.ts'
import { nodeNameOf } from '../../fleet/by-hand.ts'
import { policies } from '../../fleet/policy/index.ts'
import type { Policy } from '../../fleet/policy/policy.ts'
import { CliError, exitCodes } from '../exit-code.ts'
import { painter, printable, printData, printJson, printMessage, table } from '../output.ts'
import { type ConfigOptions, settingsOf } from '../settings.ts'
import { learnFleet, type LearnedFleet } from './fleet.ts'
import { rankerOf } from './live-parts.ts'
import { readRequestLog, type RequestLog } from './log.ts'
import { type Figures, type Gateway, loggedFigures, predict } from './predict.ts'

export interface ReplayOptions extends ConfigOptions {
  readonly policy: string
  readonly memory: string
  readonly json?: boolean
}

const bytesPerGb = 1e9

export async function replayCommand(file: string, options: ReplayOptions): Promise<void> {
  const wanted = policyOf(options.policy)
  const memoryGb = memoryGbOf(options.memory)
  const { config } = await settingsOf(options)
  const log = await readRequestLog(file)
  const { fleet } = config
  const nodes = fleet.nodes.map((node) => ({ name: nodeNameOf(node), slots: node.slots ?? null }))
  const learned = learnFleet(log.requests, { nodes, slotsAssumed: fleet.admission.slotsAssumed, memoryGb })
  const names = [...new Set([fleet.policy, wanted])]
  const predicted = names.map((policy) => ({
    policy,
    isPresent: policy === fleet.policy,
    ...predict(learned, log.requests, gatewayOf(config, policies[policy])),
  }))
  const logged = loggedFigures(log.requests, nodes.length)
  if (options.json === true) {
    const { unserved, foreign } = log
    const { nodes: nodesLearned, models, assumed } = learned
    return printJson({ log: { ...logged, unserved, foreign }, predicted, fleet: { nodes: nodesLearned, models, assumed } })
  }
  printData(
    figureTable([['as logged', logged], ...predicted.map((row) => [row.isPresent ? `${row.policy} (now)` : row.policy, row] as const)]),
  )
  printNotes(log, learned)
}

function policyOf(name: string): keyof typeof policies {
  if (name === 'least-loaded' || name === 'expected-completion') return name
  throw new CliError(exitCodes.usage, `--policy: expected ${Object.keys(policies).join(' or ')}`)
}

function memoryGbOf(text: string): number {
  const bytes = parseBytes(text)
  if (bytes !== null && bytes > 0) return bytes / bytesPerGb
  throw new CliError(exitCodes.usage, '--memory: expected a size, such as 24GB')
}

function gatewayOf({ fleet }: Config, policy: Policy): Gateway {
  const { admission } = fleet
  const slots = new Map(fleet.nodes.map((node) => [nodeNameOf(node), node.slots ?? null]))
  return {
    ranker: () => rankerOf(policy),
    binding: admission.enabled ? 'central' : 'immediate',
    waitingMax: admission.queueMax,
    slots: { slotsAssumed: admission.slotsAssumed, slotsMax: admission.slotsMax },
    slotsConfigured: (node) => slots.get(node) ?? null,
  }
}

function figureTable(rows: readonly (readonly [string, Figures])[]): string {
  const paint = painter(process.stdout)
  const head = ['', 'REQUESTS', 'TTFT MEAN', 'TTFT P95', 'WAIT P95', 'COLD LOADS', 'BUSIEST/MEAN', 'REFUSED'].map((text) =>
    paint('dim', text),
  )
  const time = (ms: number | null): string => (ms === null ? '-' : formatDuration(Math.round(ms)))
  const lines = rows.map(([name, { requests, meanTtftMs, p95TtftMs, p95WaitMs, coldLoads, busiestShare, refused }]) => [
    name,
    String(requests),
    ...[meanTtftMs, p95TtftMs, p95WaitMs].map(time),
    coldLoads === null ? '-' : String(coldLoads),
    busiestShare.toFixed(2),
    String(refused),
  ])
  return table([head, ...lines])
}

/** Below the figures, on stderr: what was left out, what is assumed. */
function printNotes({ unserved, foreign }: RequestLog, { assumed }: LearnedFleet): void {
  if (unserved > 0) printMessage(`left out: ${unserved} requests that no node served`)
  if (foreign.count > 0) {
    const more = foreign.count > foreign.lines.length ? ', …' : ''
    printMessage(`left out: ${foreign.count} lines that are no requests (${foreign.lines.join(', ')}${more})`)
  }
  printMessage('assumed:')
  for (const sentence of assumed) printMessage(`  ${printable(sentence)}`)
}
