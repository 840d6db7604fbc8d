/**
 * `corral export`: what runs and watches Corral elsewhere, as files. The deployment files lie in the package beside the program
 * (`deploy/`); the description of the API is made of the shapes that its routes parse by.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { CliError, exitCodes } from './exit-code.ts'
import { type AlertOptions, type LevelOptions, serviceLevelOf } from './monitoring.ts'
import { printData, printJson, printMessage } from './output.ts'

/** A folder of the package, looked for above this file: it lies in `src/cli` or, built, in `dist`. */
function packageFolder(name: string): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) {
    if (dirname(folder) === folder) throw new Error(`no package.json above ${import.meta.dirname}`)
    folder = dirname(folder)
  }
  return join(folder, name)
}

/** Refuses to write over what is there: somebody may have changed it. */
function refuseExisting(target: string, names: readonly string[]): void {
  for (const name of names) {
    if (existsSync(join(target, name))) {
      throw new CliError(exitCodes.failure, `${join(target, name)} is there already: move it away, or name another folder`)
    }
  }
}

function copyTo(folder: string, sources: Readonly<Record<string, string>>): void {
  const target = resolve(folder)
  refuseExisting(target, Object.keys(sources))
  for (const [name, source] of Object.entries(sources)) cpSync(source, join(target, name), { recursive: true })
}

/** Writes texts as files of `folder`; refuses where one is there. */
function writeNew(folder: string, files: ReadonlyMap<string, string>): void {
  const target = resolve(folder)
  refuseExisting(target, [...files.keys()])
  mkdirSync(target, { recursive: true })
  for (const [name, text] of files) writeFileSync(join(target, name), text)
}

/** Writes the dashboards into `folder`. */
export async function exportDashboardsCommand(folder: string, options: LevelOptions): Promise<void> {
  const { dashboards } = await monitoringFiles(options)
  writeNew(folder, dashboards)
  printMessage(`wrote ${dashboards.size} dashboards to ${resolve(folder)}; import them, or provision the folder`)
}

/** Prints the rule file. */
export async function exportAlertsCommand(options: AlertOptions): Promise<void> {
  printData((await monitoringFiles(options)).rules)
}

/** Rule file and dashboards for the promise of the flags. */
async function monitoringFiles({ runbooks, ...options }: AlertOptions) {
  const { renderDashboards } = await import('../observe/dashboards/files.ts')
  const { renderRules } = await import('../observe/alerts/rule-file.ts')
  const level = serviceLevelOf(options)
  return { rules: renderRules({ level, ...(runbooks === undefined ? {} : { runbooks }) }), dashboards: renderDashboards(level) }
}

/** Prints the description of `/rag` (OpenAPI 3.1). */
export async function exportOpenapiCommand(): Promise<void> {
  const { describeApi } = await import('../http/rag/openapi.ts')
  printJson(describeApi())
}

/** Writes the compose file and what it mounts into `folder`: rules and dashboards, which a checkout has beside `deploy`, below it. */
export async function exportComposeCommand(folder: string, options: AlertOptions): Promise<void> {
  const { rules, dashboards } = await monitoringFiles(options)
  const deploy = packageFolder('deploy')
  refuseExisting(resolve(folder), ['compose.yaml', 'compose', 'prometheus', 'grafana'])
  copyTo(folder, { compose: join(deploy, 'compose') })
  const text = readFileSync(join(deploy, 'compose.yaml'), 'utf8')
  writeNew(folder, new Map([['compose.yaml', text.replaceAll('- ../', '- ./')]]))
  writeNew(join(folder, 'prometheus'), new Map([['alerts.yaml', rules]]))
  writeNew(join(folder, 'grafana/dashboards'), dashboards)
  printMessage(`wrote ${join(folder, 'compose.yaml')}; start it: docker compose -f ${join(folder, 'compose.yaml')} up -d`)
}

/** Writes the Helm chart into `folder`, with the alerts and dashboards that its values may switch on. */
export async function exportHelmCommand(folder: string, options: AlertOptions): Promise<void> {
  const { rules, dashboards } = await monitoringFiles(options)
  copyTo(folder, { corral: packageFolder('deploy/helm/corral') })
  writeNew(join(folder, 'corral/files'), new Map([['alerts.yaml', rules]]))
  writeNew(join(folder, 'corral/files/dashboards'), dashboards)
  printMessage(
    `wrote ${join(folder, 'corral')}; install it: helm install corral ${join(folder, 'corral')} --set nodes={http://gpu-1:11434}`,
  )
}

/** Writes the systemd unit into `folder`. */
export function exportSystemdCommand(folder: string): void {
  copyTo(folder, { 'corral.service': packageFolder('deploy/systemd/corral.service') })
  printMessage(`wrote ${join(folder, 'corral.service')}`)
}
