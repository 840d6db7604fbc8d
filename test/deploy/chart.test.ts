// The Helm chart. Where there is a helm it renders it, and what it gives must be what lies in rendered/ (written anew by `vitest run FILE --update`);
// where there is none the rendered files stand for it, as long as the chart is the one they were made of. Each document is held to
// the types of Kubernetes and of the Prometheus operator.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

import { Ajv } from 'ajv'
import { PrometheusRule, ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import { Deployment } from 'kubernetes-models/apps/v1'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2'
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount } from 'kubernetes-models/v1'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'

import { exportHelmCommand } from '../../src/cli/export.ts'
import { alertsFor, renderRules } from '../../src/observe/alerts/rule-file.ts'
import { listFiles, readSource, root } from '../source-tree.ts'

const chart = 'deploy/helm/corral'
const helm = [process.env['CORRAL_TEST_HELM'], join(homedir(), 'go/bin/helm'), '/usr/local/bin/helm', '/usr/bin/helm'].find(
  (path) => path !== undefined && existsSync(path),
)
if (helm === undefined) console.log('NOT RUN with helm: there is none; what was rendered before is looked at')

const models = {
  ConfigMap,
  Deployment,
  HorizontalPodAutoscaler,
  Ingress,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  PrometheusRule,
  Secret,
  Service,
  ServiceAccount,
  ServiceMonitor,
}

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
}

function renderedFile(name: string): string {
  return join(import.meta.dirname, 'rendered', name)
}

function helmRun(...args: readonly string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(helm ?? '', args, { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' })
}

/**
 * The chart with what `corral export helm` puts beside its templates, in a folder that goes with the test; a rule and a dashboard stand for
 * all, so that not every new alert changes what is rendered.
 */
function exportedChart(): string {
  const folder = mkdtempSync(join(tmpdir(), 'corral-chart-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(root, chart), folder, { recursive: true })
  mkdirSync(join(folder, 'files/dashboards'), { recursive: true })
  for (const [name, text] of Object.entries(exported)) writeFileSync(join(folder, 'files', name), text)
  return folder
}

const exported: Readonly<Record<string, string>> = {
  'alerts.yaml': `# Written by: corral export alerts
groups:
  - name: corral-causes
    rules:
      - alert: CorralDown
        expr: absent(up{job="corral"} == 1)
        for: 5m
        annotations:
          summary: "{{ $value }} of {{ $labels.job }}"
`,
  'dashboards/corral-overview.json': '{\n  "uid": "corral-overview",\n  "title": "{{instance}}"\n}\n',
}

/** What helm gives, with the secret that it makes at random left out. */
function render(values: readonly string[]): string {
  const { status, stdout, stderr } = helmRun('template', 'corral', exportedChart(), '--kube-version', '1.33.0', ...values)
  if (status !== 0) throw new Error(stderr)
  return stdout.replace(/^( {2}secret: )\S{60,}$/m, '$1bWFkZSBieSB0aGUgY2hhcnQgYXQgdGhlIGluc3RhbGw=')
}

function sourcesDigest(): string {
  const files = ['Chart.yaml', 'values.yaml', 'values.schema.json'].map((name) => `${chart}/${name}`)
  const templates = [...listFiles(`${chart}/templates`, '.yaml'), ...listFiles(`${chart}/templates`, '.tpl')].toSorted()
  const all = [...files, ...templates, 'test/deploy/values-shared.yaml'].map((file) => `${file}\n${readSource(file)}`)
  return `${createHash('sha256').update(all.join('\n')).digest('hex')}\n`
}

test.runIf(helm !== undefined)('helm finds nothing wrong with it', () => {
  const { status, stdout } = helmRun('lint', '--strict', chart)
  expect([status, stdout]).toEqual([0, expect.stringContaining('0 chart(s) failed')])
})

const releases = [
  { name: 'default', values: [] },
  { name: 'shared', values: ['--values', 'test/deploy/values-shared.yaml'] },
]

test.runIf(helm !== undefined).each(releases)('helm renders $name as it lies here', async ({ name, values }) => {
  await expect(render(values)).toMatchFileSnapshot(renderedFile(`${name}.yaml`))
  await expect(sourcesDigest()).toMatchFileSnapshot(renderedFile('sources.sha256'))
})

test('what lies here was made of this chart (npx vitest run test/deploy/chart.test.ts --update, with helm)', () => {
  expect(readFileSync(renderedFile('sources.sha256'), 'utf8')).toBe(sourcesDigest())
})

describe.each(releases)('the release $name', ({ name }) => {
  const read = (): Manifest[] => parseAllDocuments(readFileSync(renderedFile(`${name}.yaml`), 'utf8')).map((document) => document.toJS())

  test('is what Kubernetes takes', () => {
    const documents = read()
    expect(documents.length).toBeGreaterThan(6)
    for (const document of documents) {
      const Model = new Map<string, new (data: never) => { validate(): void }>(Object.entries(models)).get(document.kind)
      if (Model === undefined) throw new Error(`no type for ${document.apiVersion} ${document.kind}`)
      const model = Reflect.construct(Model, [document])
      expect(() => model.validate(), `${document.kind} ${document.metadata.name}`).not.toThrow()
    }
  })

  test('names nothing twice', () => {
    const names = read().map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    expect(new Set(names).size).toBe(names.length)
  })
})

test('the release with everything on has its rules and dashboards, and is scraped as the job that the rules ask for', () => {
  const documents: {
    kind: string
    metadata: { name: string; labels: Record<string, string> }
    spec?: Record<string, unknown>
    data?: object
  }[] = parseAllDocuments(readFileSync(renderedFile('shared.yaml'), 'utf8')).map((document) => document.toJS())
  const of = (kind: string, name: string) => documents.find((each) => each.kind === kind && each.metadata.name === name)
  expect(of('PrometheusRule', 'corral')?.spec).toEqual(parse(exported['alerts.yaml'] ?? ''))
  expect(of('ConfigMap', 'corral-dashboards')?.data).toEqual({ 'corral-overview.json': exported['dashboards/corral-overview.json'] })
  const label = String(of('ServiceMonitor', 'corral')?.spec?.['jobLabel'])
  expect(of('Service', 'corral')?.metadata.labels[label]).toBe('corral')
  const jobs = alertsFor().flatMap(({ expr }) => [...expr.matchAll(/job="([^"]*)"/g)].map(([, job]) => job))
  expect(new Set(jobs)).toEqual(new Set(['corral']))
})

test('what corral export helm writes is where the templates look for it, and a spec of the operator', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'corral-exported-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  await exportHelmCommand(folder, {})
  const template = readSource(`${chart}/templates/monitoring.yaml`)
  const [, file = ''] = /\.Files\.Get "([^"]+)"/.exec(template) ?? []
  const [, glob = ''] = /\.Files\.Glob "([^"]+)\/\*\.json"/.exec(template) ?? []
  const text = readFileSync(join(folder, 'corral', file), 'utf8')
  expect(text).toBe(renderRules())
  expect(() => Reflect.construct(PrometheusRule, [{ metadata: { name: 'corral' }, spec: parse(text) }]).validate()).not.toThrow()
  expect(readdirSync(join(folder, 'corral', glob)).length).toBe(5)
})

test('the types refuse what is wrong', () => {
  const spec: unknown = { selector: {}, template: { spec: { containers: [{ name: 'corral', ports: 'none' }] } } }
  expect(() => Reflect.construct(Deployment, [{ metadata: { name: 'x' }, spec }]).validate()).toThrow(/ports/)
})

describe('the values', () => {
  const defaults: Readonly<Record<string, unknown>> = parse(readSource(`${chart}/values.yaml`))
  const isValid = new Ajv({ allowUnionTypes: true, strictRequired: false }).compile(JSON.parse(readSource(`${chart}/values.schema.json`)))

  test('by default and with everything on are what the schema takes', () => {
    expect(isValid(defaults), JSON.stringify(isValid.errors)).toBe(true)
    expect(isValid({ ...defaults, ...parse(readSource('test/deploy/values-shared.yaml')) }), JSON.stringify(isValid.errors)).toBe(true)
  })

  test.each([
    { nodes: [] },
    { nodes: ['gpu-1:11434'] },
    { replicaCount: 2 },
    { databaseUrl: 'mysql://x' },
    { config: { secret: 'in a ConfigMap' } },
    { drain: { delaySeconds: 5 } },
  ])('%j are refused', (wrong) => {
    expect(isValid({ ...defaults, ...wrong })).toBe(false)
  })

  test('the schema knows every key of the file', () => {
    const { properties }: { properties: Record<string, unknown> } = JSON.parse(readSource(`${chart}/values.schema.json`))
    expect(Object.keys(defaults).filter((key) => !(key in properties))).toEqual([])
  })
})

test.runIf(helm !== undefined)('several replicas without a database are refused in words', () => {
  const { status, stderr } = helmRun('template', 'corral', chart, '--kube-version', '1.33.0', '--set', 'replicas=2')
  expect([status, stderr]).toEqual([1, expect.stringContaining('several replicas share one database')])
})
