/** What this process says to the questions of the others (`peers.ts`), and what it shows of all of them together. */
import type { Clock } from '../base/clock.ts'
import type { Cache } from '../cache/layer.ts'
import { CorralError } from '../core/errors.ts'
import type { Switch } from '../core/operator-settings.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { type FleetView, snapshotFleet } from '../fleet/snapshot.ts'
import type { Identity } from '../identity/identity.ts'
import type { UsedSignature } from '../identity/signature.ts'
import type { Explanations } from '../observe/explained.ts'
import { contentTypes, type Exposition } from '../observe/exposition.ts'
import { mergeScrapes } from '../observe/merge-scrapes.ts'
import type { TotalsByProcess } from '../observe/overview.ts'
import type { NodeChanges } from './admin/node-changes.ts'
import { snapshotCalls } from './admin/snapshot-call.ts'
import type { CallRegistry } from './call-registry.ts'
import { noPeers, type PeerAnswer, type PeerQuestion, type Peers, type ProcessTotals } from './peers.ts'

export interface Scrape {
  readonly contentType: string
  readonly body: string
}

/** A scrape in the format that is asked for. */
export type RenderMetrics = (exposition: Exposition) => Promise<Scrape>

export interface PeerAnswerDeps {
  readonly fleet: FleetView & Pick<Fleet, 'byHand'>
  readonly nodes: Pick<NodeChanges, 'hear'>
  readonly calls: CallRegistry
  readonly cache: Pick<Cache, 'purge'>
  readonly identity: Pick<Identity, 'noteSigned'> | null
  readonly explanations: Explanations
  readonly clock: Clock
  readonly renderMetrics: RenderMetrics
  readonly counted: () => ProcessTotals
  readonly settings: {
    switches(): ReadonlyMap<string, Switch>
    adopt(name: string, wanted: Switch | null): Promise<void>
  }
  /** Hears of what this worker could not do although the asking one could. */
  readonly onTrouble: (error: unknown) => void
}

/** Never rejects: a change that fails here is told to `onTrouble`. */
export function createPeerAnswers(deps: PeerAnswerDeps): (question: PeerQuestion) => Promise<PeerAnswer> {
  return async (question) => {
    try {
      return await answerTo(question, deps)
    } catch (error) {
      deps.onTrouble(error)
      return {}
    }
  }
}

async function answerTo(question: PeerQuestion, deps: PeerAnswerDeps): Promise<PeerAnswer> {
  const { fleet, calls, clock, renderMetrics, counted } = deps
  switch (question.kind) {
    case 'scrape':
      return { scrape: (await renderMetrics('openmetrics')).body }
    case 'fleet':
      return { fleet: snapshotFleet(fleet, clock.nowMs()) }
    case 'requests':
      return { requests: snapshotCalls(calls, clock.nowMs()) }
    case 'totals':
      return { counted: counted() }
    case 'live':
      return { fleet: snapshotFleet(fleet, clock.nowMs()), requests: snapshotCalls(calls, clock.nowMs()), counted: counted() }
    case 'explain':
      return { explained: deps.explanations.find(question.id) }
    case 'cancel':
      return { cancelled: calls.cancel(question.id, cancelledByOperator()) }
    case 'by-hand':
      return { byHand: { nodes: [...fleet.byHand()], switches: [...deps.settings.switches()] } }
    case 'node-changed':
      await deps.nodes.hear(question)
      return {}
    case 'switch':
      await deps.settings.adopt(question.name, question.wanted)
      return {}
    case 'signed':
      deps.identity?.noteSigned(question.signature)
      return {}
    case 'purge':
      return { purged: await deps.cache.purge(question.selector, { dryRun: question.dryRun }) }
  }
}

export interface FollowPeersDeps extends Pick<PeerAnswerDeps, 'settings'> {
  readonly fleet: Pick<Fleet, 'adopt'>
  readonly onTrouble: (message: string, cause: unknown) => void
}

/** Takes over what was changed by hand in the other workers, before this one listens. */
export async function followPeers(peers: Peers, { fleet, settings, onTrouble }: FollowPeersDeps): Promise<void> {
  const { byHand } = (await peers.ask({ kind: 'by-hand' })).find((answer) => answer.byHand !== undefined) ?? {}
  if (byHand === undefined) return
  try {
    fleet.adopt(new Map(byHand.nodes))
    for (const [name, wanted] of byHand.switches) await settings.adopt(name, wanted)
  } catch (error) {
    onTrouble('this worker goes on without what was changed by hand in the others', error)
  }
}

/** Tells the other workers of a signature that was used here, so that they know its replay. Nobody waits for them. */
export function tellSigned(peers: Peers): (signature: UsedSignature) => void {
  return (signature) => void peers.ask({ kind: 'signed', signature })
}

export function cancelledByOperator(): CorralError {
  return new CorralError('client_gone', 'cancelled by an operator')
}

/** How many requests others have under way beyond those they told. */
export function leftOutOf(others: readonly PeerAnswer[]): number {
  return others.reduce((count, { requestsLeftOut = 0 }) => count + requestsLeftOut, 0)
}

/** The counters of each process. */
export function wholeTotals(peers: Peers, own: () => ProcessTotals): () => Promise<TotalsByProcess> {
  return async () => byProcess([own(), ...(await peers.ask({ kind: 'totals' })).flatMap(({ counted }) => counted ?? [])])
}

export function byProcess(all: readonly ProcessTotals[]): TotalsByProcess {
  return new Map(all.map(({ process, totals }) => [process, totals]))
}

/** The scrape of all workers as one. */
export function wholeScrape(peers: Peers, own: RenderMetrics): RenderMetrics {
  if (peers === noPeers) return own
  return async (exposition) => {
    const { body } = await own('openmetrics')
    const others = await peers.ask({ kind: 'scrape', own: body })
    const gone = others.flatMap((answer) => answer.gone ?? [])
    const scrapes = [body, ...others.flatMap(({ scrape }) => scrape ?? [])]
    return { contentType: contentTypes[exposition], body: mergeScrapes(scrapes, gone, exposition) }
  }
}
