/** `corral doctor`: everything that commonly keeps a gateway from working, each finding with a hint what to do. */
import { createServer } from 'node:net'

import { z } from 'zod'

import { systemClock } from '../base/clock.ts'
import { isLoopback } from '../base/loopback.ts'
import { dataFolder } from '../config/data-folder.ts'
import { type Config, problemText } from '../config/index.ts'
import { urlOf } from './banner.ts'
import { certificateFinding, dependencyCertificateFindings, renewHint } from './doctor-certificates.ts'
import { promptFindings } from './doctor-assistants.ts'
import { vectorFindings } from './doctor-collections.ts'
import { contextFinding, dependencyFindings, diskFinding, streamFinding } from './doctor-running.ts'
import { exitCodes } from './exit-code.ts'
import type { Finding } from './finding.ts'
import { type NodeReport, probeNode } from './node-probe.ts'
import { painter, printable, printData, printJson, type Tone } from './output.ts'
import { type ConfigOptions, tryLoad } from './settings.ts'

export interface DoctorOptions extends ConfigOptions {
  readonly json?: boolean
  /** Where clients reach the gateway; left out: as the configuration has it. */
  readonly url?: string
}

const nodeMajorTested = [22, 24, 26]
const clockAheadMsMax = 5_000
const gatewayTimeoutMs = 1_000
/** Files beside client and node sockets: logs, the runtime's own. */
const filesBeside = 64

function nodeFinding(): Finding {
  const version = process.versions.node
  const major = Number(version.split('.')[0])
  if (nodeMajorTested.includes(major)) return { check: 'node', status: 'ok', detail: `Node ${version}` }
  return {
    check: 'node',
    status: 'warn',
    detail: `Node ${version} is not among the tested ones`,
    hint: `use Node ${nodeMajorTested.join(', ')}`,
  }
}

function tryBind(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port }, () => server.close(() => resolve(null)))
  })
}

/** What a gateway that runs tells, at `url` or at the address of the configuration; nothing where none does. */
async function runningFindings({ http }: Config, url: string | undefined): Promise<Finding[]> {
  const at = url === undefined ? urlOf(http.host, http.port) : url.replace(/\/+$/, '')
  if (url === undefined && (http.port === 0 || !(await answersAsCorral(at)))) return []
  const looks = [dependencyFindings(at), streamFinding(at), contextFinding(at), vectorFindings(at), promptFindings(at)]
  return (await Promise.all(looks)).flat()
}

async function portFinding({ http }: Config): Promise<Finding> {
  const address = `${http.host}:${http.port}`
  const refused = await tryBind(http.host, http.port)
  if (refused === null) return { check: 'port', status: 'ok', detail: `${address} is free` }
  if (refused === 'EADDRINUSE' && (await answersAsCorral(urlOf(http.host, http.port)))) {
    return { check: 'port', status: 'ok', detail: `a Corral runs on ${address}` }
  }
  const hint =
    refused === 'EADDRINUSE' ? 'stop that process or choose another port with --port' : 'choose another address with --host and --port'
  return { check: 'port', status: 'fail', detail: `${address} cannot be bound (${refused})`, hint }
}

const limitsReport = z.object({ userLimits: z.object({ open_files: z.object({ soft: z.union([z.number(), z.string()]) }) }) })

function filesFinding({ http }: Config): Finding {
  Object.assign(process.report, { excludeNetwork: true })
  const parsed = limitsReport.safeParse(process.report.getReport())
  const soft = parsed.success ? Number(parsed.data.userLimits.open_files.soft) : NaN
  if (Number.isNaN(soft)) return { check: 'open files', status: 'ok', detail: 'not limited' }
  // A request under way holds two sockets: the client's and the node's.
  const wanted = 2 * http.connectionsMax + filesBeside
  if (soft >= wanted) return { check: 'open files', status: 'ok', detail: `${soft} allowed` }
  const enoughFor = Math.max(0, Math.floor((soft - filesBeside) / 2))
  return {
    check: 'open files',
    status: 'warn',
    detail: `${soft} allowed, enough for ${enoughFor} busy connections; http.connectionsMax is ${http.connectionsMax}`,
    hint: `raise it (ulimit -n ${wanted}), or lower http.connectionsMax`,
  }
}

/** What to try for a node that does not answer, by how it fails. */
export function reachHint(url: string, reason: string): string {
  if (reason.includes('CERT_HAS_EXPIRED')) return renewHint
  if (/certificate|CERT_/.test(reason)) return 'name the authority that signed its certificate: caFile of the node under fleet.nodes'
  if (/answered (401|403)/.test(reason))
    return 'it wants a credential: headers of the node under fleet.nodes, best from a file (authorizationFile)'
  if (/answered|not as an Ollama/.test(reason)) return 'something else listens there: check host, port and path prefix of the URL'
  if (isLoopback(new URL(url).hostname))
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

const livezAnswer = z.object({ status: z.literal('ok') })

/** Whether a Corral answers there: an Ollama knows no /livez. */
async function answersAsCorral(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/livez`, { signal: AbortSignal.timeout(gatewayTimeoutMs) })
    return livezAnswer.safeParse(await response.json()).success
  } catch {
    // Nothing there, or no JSON: not one of ours.
    return false
  }
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

async function examine(options: DoctorOptions): Promise<{ findings: Finding[]; isConfigBad: boolean }> {
  const loaded = await tryLoad(options)
  if (loaded.kind === 'invalid') {
    const hint = 'every key is explained in config/default.yaml'
    const findings = loaded.problems.map((problem): Finding => ({ check: 'config', status: 'fail', detail: problemText(problem), hint }))
    return { findings: [nodeFinding(), ...findings], isConfigBad: true }
  }
  const { config, file, warnings } = loaded
  const reports = await Promise.all(config.fleet.nodes.map((node) => probeNode(node, config.fleet)))
  const findings = [
    nodeFinding(),
    { check: 'config', status: 'ok', detail: file ?? 'built-in defaults' } satisfies Finding,
    ...warnings.map((detail): Finding => ({ check: 'config', status: 'warn', detail })),
    await portFinding(config),
    filesFinding(config),
    ...(config.store.enabled && config.store.url === null ? [await diskFinding(dataFolder(config))] : []),
    ...(await runningFindings(config, options.url)),
    ...reports.map(reachFinding),
    ...(await loopFindings(reports)),
    ...reports.flatMap((report) => certificateFinding(report, systemClock.wallMs())),
    ...(await dependencyCertificateFindings(config)),
    ...clockFindings(reports),
    ...driftFindings(reports),
  ]
  return { findings, isConfigBad: false }
}

const marks: Readonly<Record<Finding['status'], readonly [Tone, string]>> = {
  ok: ['green', 'ok  '],
  warn: ['yellow', 'warn'],
  fail: ['red', 'fail'],
}

function printFindings(findings: readonly Finding[]): void {
  const paint = painter(process.stdout)
  const width = Math.max(...findings.map(({ check }) => check.length))
  for (const { check, status, detail, hint } of findings) {
    printData(`${paint(...marks[status])}  ${check.padEnd(width)}  ${detail}`)
    if (hint !== undefined && status !== 'ok') printData(`${' '.repeat(width + 8)}${paint('dim', `-> ${hint}`)}`)
  }
}

/** Exit code: 0 nothing failed, 2 the configuration is not valid, else 1. */
export async function doctorCommand(options: DoctorOptions): Promise<void> {
  const { findings, isConfigBad } = await examine(options)
  if (options.json === true) printJson(findings)
  else printFindings(findings)
  if (isConfigBad) process.exitCode = exitCodes.usage
  else if (findings.some(({ status }) => status === 'fail')) process.exitCode = exitCodes.failure
}
