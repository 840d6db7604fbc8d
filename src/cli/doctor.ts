/** `corral doctor`: everything that commonly keeps a gateway from working, each finding with a hint what to do. */
import { createServer } from 'node:net'

import { z } from 'zod'

import { isLoopback } from '../base/loopback.ts'
import { dataFolder } from '../config/data-folder.ts'
import { isContainer } from '../config/environment.ts'
import { type Config, problemText } from '../config/index.ts'
import { urlOf } from './banner.ts'
import { answersAsCorral } from './ask-gateway.ts'
import { dependencyCertificateFindings } from './doctor-certificates.ts'
import { promptFindings } from './doctor-assistants.ts'
import { vectorFindings } from './doctor-collections.ts'
import { nodeFindings } from './doctor-nodes.ts'
import { dependencyFindings, diskFinding, metricsFindings, streamFinding } from './doctor-running.ts'
import { exitCodes } from './exit-code.ts'
import type { Finding } from './finding.ts'
import { painter, printData, printJson, type Tone } from './output.ts'
import { type ConfigOptions, tryLoad } from './settings.ts'

export interface DoctorOptions extends ConfigOptions {
  readonly json?: boolean
  /** Where clients reach the gateway; left out: as the configuration has it. */
  readonly url?: string
}

const nodeMajorTested = [22, 24, 26]
/** Files beside client and node sockets: logs, the runtime's own. */
const filesBeside = 64

function runtimeFinding(): Finding {
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

/** Of a gateway that runs, at `url` or at the address of the configuration; null where none does. */
async function gatewayAt({ http }: Config, url: string | undefined): Promise<string | null> {
  if (url !== undefined) return url.replace(/\/+$/, '')
  const at = urlOf(http.host, http.port)
  return http.port !== 0 && (await answersAsCorral(at)) ? at : null
}

async function runningFindings(at: string): Promise<Finding[]> {
  const looks = [dependencyFindings(at), streamFinding(at), metricsFindings(at), vectorFindings(at), promptFindings(at)]
  return (await Promise.all(looks)).flat()
}

/** A container has a loopback of its own, which nothing outside of it reaches. Nothing outside of one. */
export function containerFindings(host: string, inContainer: boolean): Finding[] {
  if (!inContainer) return []
  const check = 'container'
  if (!isLoopback(host)) return [{ check, status: 'ok', detail: `http.host is ${host}: reachable from outside of this container` }]
  const detail = `http.host is ${host}, which only this container itself reaches`
  return [{ check, status: 'warn', detail, hint: 'set CORRAL_HTTP__HOST=0.0.0.0; who reaches it is then said where the port is published' }]
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

async function examine(options: DoctorOptions): Promise<{ findings: Finding[]; isConfigBad: boolean }> {
  const loaded = await tryLoad(options)
  if (loaded.kind === 'invalid') {
    const hint = 'every key is explained in config/default.yaml'
    const findings = loaded.problems.map((problem): Finding => ({ check: 'config', status: 'fail', detail: problemText(problem), hint }))
    return { findings: [runtimeFinding(), ...findings], isConfigBad: true }
  }
  const { config, file, warnings } = loaded
  const gateway = await gatewayAt(config, options.url)
  const findings = [
    runtimeFinding(),
    { check: 'config', status: 'ok', detail: file ?? 'built-in defaults' } satisfies Finding,
    ...warnings.map((detail): Finding => ({ check: 'config', status: 'warn', detail })),
    await portFinding(config),
    ...containerFindings(config.http.host, isContainer()),
    filesFinding(config),
    ...(config.store.enabled && config.store.url === null ? [await diskFinding(dataFolder(config))] : []),
    ...(gateway === null ? [] : await runningFindings(gateway)),
    ...(await nodeFindings(config.fleet, gateway)),
    ...(await dependencyCertificateFindings(config)),
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
