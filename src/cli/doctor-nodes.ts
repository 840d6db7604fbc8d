/**
 * The part of `corral doctor` about nodes: those of the configuration, looked at from here, and those of a running gateway, which may have been
 * added to it by hand and may be where only the gateway comes.
 */
import { systemClock } from '../base/clock.ts'
import { isLoopback } from '../base/loopback.ts'
import { type FleetOptions, nodeOptions } from '../fleet/options.ts'
import { maskUrl } from '../fleet/snapshot.ts'
import { adviceOf, answersAsCorral, askGateway } from './ask-gateway.ts'
import { certificateFinding, renewHint } from './doctor-certificates.ts'
import type { Finding } from './finding.ts'
import { fleetView, type NodeView } from './fleet-view.ts'
import { type NodeReport, probeNode } from './node-probe.ts'
import { printable } from './output.ts'

const clockAheadMsMax = 5_000
const answerMs = 5_000

/** All of the configuration, and where a gateway runs at `gateway`, all that it has. */
export async function nodeFindings(fleet: FleetOptions, gateway: string | null): Promise<Finding[]> {
  const [own, { nodes, trouble }] = await Promise.all([
    Promise.all(fleet.nodes.map((node) => probeNode(node, fleet))),
    gateway === null ? { nodes: [], trouble: [] } : askNodes(gateway),
  ])
  const added = nodes.filter((node) => !own.some((report) => isSame(report, node)))
  const reached = (await Promise.all(added.map((node) => probeAdded(node, fleet)))).flat().filter(({ reachable }) => reachable)
  const reports = [...own, ...reached]
  return [
    ...reports.map(reachFinding),
    ...nodes.flatMap((node) => seenFinding(node, { own, reached })),
    ...trouble,
    ...(await loopFindings(reports)),
    ...reports.flatMap((report) => certificateFinding(report, systemClock.wallMs())),
    ...clockFindings(reports),
    ...driftFindings(reports),
  ]
}

type SeenNode = Pick<NodeView, 'name' | 'url' | 'up' | 'downReason' | 'version'>

async function askNodes(gateway: string): Promise<{ readonly nodes: readonly SeenNode[]; readonly trouble: readonly Finding[] }> {
  try {
    const answer = await askGateway(`${gateway}/admin/fleet`, answerMs)
    if (answer === null) return { nodes: [], trouble: [unasked('it has no /admin/fleet', 'switch features.admin on')] }
    return { nodes: fleetView.parse(answer).nodes, trouble: [] }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { nodes: [], trouble: [unasked(why, adviceOf(error, "set CORRAL_API_KEY to an operator's key"))] }
  }
}

function unasked(why: string, hint: string): Finding {
  return { check: 'nodes', status: 'warn', detail: `those of the gateway are not looked at: ${printable(why)}`, hint }
}

/** The gateway shows no password of a URL. */
function isSame(report: Pick<NodeReport, 'name' | 'url'>, { name, url }: Pick<NodeView, 'name' | 'url'>): boolean {
  return report.name === name && maskUrl(report.url) === url
}

/** Without the headers that the gateway may send it, which it does not tell. */
async function probeAdded({ name, url }: SeenNode, fleet: FleetOptions): Promise<NodeReport[]> {
  const node = nodeOptions.safeParse({ name, url })
  return node.success ? [await probeNode(node.data, fleet)] : []
}

/** What the gateway says of a node, where that is more than what was seen from here. */
export function seenFinding(
  node: SeenNode,
  { own, reached }: Readonly<Record<'own' | 'reached', readonly Pick<NodeReport, 'name' | 'url' | 'reachable'>[]>>,
): Finding[] {
  const report = [...own, ...reached].find((other) => isSame(other, node))
  const name = `node ${printable(node.name)}`
  const url = printable(node.url)
  if (node.up === false) {
    if (report?.reachable === false) return []
    const reason = node.downReason ?? 'down'
    const check = report === undefined ? name : `${name}, from the gateway`
    return [{ check, status: 'fail', detail: `${url}  ${printable(reason)}`, hint: reachHint(node.url, reason) }]
  }
  if (report !== undefined) return []
  const detail = node.up === null ? 'not asked yet' : `${printable(node.version ?? '')}  reached by the gateway, not from here`
  return [{ check: name, status: 'ok', detail: `${url}  ${detail}` }]
}

/** What to try for a node that does not answer, by how it fails. */
export function reachHint(url: string, reason: string): string {
  if (reason.includes('CERT_HAS_EXPIRED')) return renewHint
  if (/certificate|CERT_/.test(reason)) return 'name the authority that signed its certificate: caFile of the node under fleet.nodes'
  if (/answered (401|403)/.test(reason))
    return 'it wants a credential: headers of the node under fleet.nodes, best from a file (authorizationFile)'
  if (/answered|not as an Ollama/.test(reason)) return 'something else listens there: check host, port and path prefix of the URL'
  if (isLoopback(URL.parse(url)?.hostname ?? ''))
    return 'start it with "ollama serve"; in a container this address is the container itself, and the host is http://host.docker.internal:11434'
  return 'on that machine Ollama has to listen on its network address (OLLAMA_HOST=0.0.0.0 ollama serve), and a firewall has to let it through'
}

function reachFinding(report: NodeReport): Finding {
  const check = `node ${report.name}`
  if (report.reachable) {
    const models = Object.keys(report.models).length
    return {
      check,
      status: 'ok',
      detail: `${report.url}  ${printable(report.version ?? '')}  ${models} models  ${Math.round(report.tookMs)} ms`,
    }
  }
  const hint = reachHint(report.url, report.reason ?? '')
  return { check, status: 'fail', detail: `${report.url}  ${printable(report.reason ?? '')}`, hint }
}

function clockFindings(reports: readonly NodeReport[]): Finding[] {
  const known = reports.filter((report) => report.clockAheadMs !== null)
  const far = known.filter((report) => Math.abs(report.clockAheadMs ?? 0) > clockAheadMsMax)
  const found = far.map((report): Finding => {
    const aheadS = Math.round((report.clockAheadMs ?? 0) / 1_000)
    return {
      check: 'clock',
      status: 'warn',
      detail: `${report.name} is ${Math.abs(aheadS)} s ${aheadS > 0 ? 'ahead' : 'behind'}`,
      hint: 'let both machines follow NTP',
    }
  })
  if (found.length > 0 || known.length === 0) return found
  return [{ check: 'clock', status: 'ok', detail: `agrees with ${known.length} node${known.length === 1 ? '' : 's'}` }]
}

/** Nodes that are a Corral: a request sent to oneself comes back until the loop guard refuses it. */
export async function loopFindings(reports: readonly Pick<NodeReport, 'name' | 'url' | 'reachable'>[]): Promise<Finding[]> {
  const looked = reports.map(async ({ name, url, reachable }): Promise<Finding[]> => {
    if (!reachable || !(await answersAsCorral(url))) return []
    const hint = 'name the Ollama servers themselves under fleet.nodes; OLLAMA_HOST may hold the address of a gateway'
    return [{ check: `loop ${name}`, status: 'fail', detail: `${url} is a Corral, not an Ollama`, hint }]
  })
  return (await Promise.all(looked)).flat()
}

/** Nodes that run different versions, or hold different files under one model name. */
export function driftFindings(reports: readonly NodeReport[]): Finding[] {
  const up = reports.filter((report) => report.reachable)
  const findings: Finding[] = []
  const versions = [...new Set(up.map((report) => report.version))]
  if (versions.length > 1) {
    const detail = `nodes run ${versions.length} versions: ${printable(versions.join(', '))}`
    findings.push({ check: 'versions', status: 'warn', detail, hint: 'bring all nodes to one version; answers and options can differ' })
  }
  const digests = new Map<string, Map<string, string[]>>()
  for (const { name, models } of up) {
    for (const [model, digest] of Object.entries(models)) {
      const byDigest = digests.get(model) ?? new Map<string, string[]>()
      byDigest.set(digest, [...(byDigest.get(digest) ?? []), name])
      digests.set(model, byDigest)
    }
  }
  for (const [model, byDigest] of digests) {
    if (byDigest.size < 2) continue
    const groups = [...byDigest].map(([digest, names]) => `${digest.slice(0, 12)} on ${names.join(', ')}`).join('; ')
    findings.push({
      check: 'drift',
      status: 'warn',
      detail: `${printable(model)}: ${groups}`,
      hint: `corral models pull ${printable(model)}`,
    })
  }
  return findings
}
