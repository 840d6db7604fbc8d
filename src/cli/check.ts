/** `corral check`: is the configuration valid, and does every node answer? Starts nothing. */
import { exitCodes } from './exit-code.ts'
import { type NodeReport, probeNode } from './node-probe.ts'
import { painter, printable, printData, printJson, printMessage, table } from './output.ts'
import { type ConfigOptions, settingsOf } from './settings.ts'

export interface CheckOptions extends ConfigOptions {
  readonly json?: boolean
}

function rowOf(report: NodeReport, paint: ReturnType<typeof painter>): string[] {
  const models = Object.keys(report.models).length
  const detail = report.reachable
    ? `${printable(report.version ?? '')}  ${models} model${models === 1 ? '' : 's'}`
    : printable(report.reason ?? '')
  return [report.name, report.url, report.reachable ? paint('green', 'ok') : paint('red', 'failed'), detail]
}

/** Exit code: 0 all answer, 1 not all do, 2 the configuration is not valid. */
export async function checkCommand(options: CheckOptions): Promise<void> {
  const { config, file } = await settingsOf(options)
  printMessage(`configuration ok (${file ?? 'built-in defaults'})`)
  const reports = await Promise.all(config.fleet.nodes.map((node) => probeNode(node, config.fleet)))
  if (options.json === true) printJson({ config: file, nodes: reports })
  else if (reports.length > 0) printData(table(reports.map((report) => rowOf(report, painter(process.stdout)))))
  const failed = reports.filter((report) => !report.reachable).length
  if (failed === 0) return
  printMessage(`${failed} of ${reports.length} nodes failed; "corral doctor" looks closer`)
  process.exitCode = exitCodes.failure
}
