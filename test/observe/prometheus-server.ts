/** A real Prometheus on loopback, with its data in a folder of its own; it ends with the caller. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'

import { freePort } from '../support/free-port.ts'

const program = process.env['PROMETHEUS'] ?? 'prometheus'

export const hasPrometheus = spawnSync(program, ['--version']).error === undefined

export interface PrometheusOptions {
  /** `host:port` of what it scrapes, as job `corral`. */
  readonly target: string
  readonly scrapeMs: number
  readonly rules: string
}

export interface Prometheus {
  /** Whether it answers queries. Throws when it has ended. */
  isReady(): Promise<boolean>
  /** Whether a graph of the expression from this wall time until now has a point. */
  draws(expr: string, fromSeconds: number): Promise<boolean>
  /** Traces that exemplars of these series name, of the last hour. */
  exemplars(query: string): Promise<ReadonlySet<string>>
  /** Names of the alerts that fire. */
  firing(): Promise<ReadonlySet<string>>
  close(): Promise<void>
}

export async function startPrometheus({ target, scrapeMs, rules }: PrometheusOptions): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-prometheus-'))
  const every = `${scrapeMs}ms`
  const config = {
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    rule_files: ['alerts.yaml'],
    scrape_configs: [{ job_name: 'corral', static_configs: [{ targets: [target] }] }],
  }
  writeFileSync(join(folder, 'alerts.yaml'), rules)
  writeFileSync(join(folder, 'prometheus.yaml'), stringify(config))
  const port = await freePort()
  const child = spawn(
    program,
    [
      `--config.file=${join(folder, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2_000)
  })
  return { ...queries(`http://127.0.0.1:${port}`, child, () => said), close: () => close(child, folder) }
}

interface Series {
  readonly metric: Readonly<Record<string, string>>
  /** Of a query over time. */
  readonly values?: readonly (readonly [seconds: number, value: string])[]
}

function queries(url: string, child: ChildProcess, said: () => string): Omit<Prometheus, 'close'> {
  const series = async (expr: string, graph: { readonly fromSeconds: number } | null): Promise<readonly Series[]> => {
    const query = `query=${encodeURIComponent(expr)}`
    const path = graph === null ? 'query' : 'query_range'
    const span = graph === null ? '' : `&start=${graph.fromSeconds}&end=${Date.now() / 1_000}&step=1`
    const answer = await fetch(`${url}/api/v1/${path}?${query}${span}`)
    const body: { status: string; error?: string; data: { result: Series[] } } = JSON.parse(await answer.text())
    if (body.status !== 'success') throw new Error(`${expr}: ${body.error}`)
    return body.data.result
  }
  return {
    isReady: async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus has ended: ${said()}`)
      try {
        return (await fetch(`${url}/-/ready`)).ok
      } catch {
        return false
      }
    },
    draws: async (expr, fromSeconds) =>
      (await series(expr, { fromSeconds })).some(({ values = [] }) => values.some(([, value]) => value !== 'NaN')),
    exemplars: async (query) => {
      const nowSeconds = Date.now() / 1_000
      const span = `start=${nowSeconds - 3_600}&end=${nowSeconds + 60}`
      const answer = await fetch(`${url}/api/v1/query_exemplars?query=${encodeURIComponent(query)}&${span}`)
      const { data }: { data: { exemplars: { labels: Record<string, string> }[] }[] } = JSON.parse(await answer.text())
      return new Set(data.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels['trace_id'] ?? '')))
    },
    firing: async () => new Set((await series('ALERTS{alertstate="firing"}', null)).map(({ metric }) => metric['alertname'] ?? '')),
  }
}

async function close(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }
  rmSync(folder, { recursive: true, force: true })
}
