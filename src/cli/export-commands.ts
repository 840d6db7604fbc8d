/** The commands below `corral export`, as commander sees them. Their code loads when they run. */
import type { Command } from 'commander'

import type { AlertOptions, LevelOptions } from './monitoring.ts'

/** Adds `export`. */
export function addExportCommands(program: Command): void {
  const exports = program.command('export').description('files for elsewhere: compose, helm, systemd, openapi, dashboards, alerts')
  const load = () => import('./export.ts')
  withRunbooks(
    exports
      .command('compose')
      .description('the compose file: Corral, Postgres, PgBouncer, Redis, and to watch it Prometheus and Grafana')
      .argument('[folder]', 'where to', '.'),
  ).action(async (folder: string, options: AlertOptions) => (await load()).exportComposeCommand(folder, options))
  withRunbooks(exports.command('helm').description('the Helm chart').argument('[folder]', 'where to', '.')).action(
    async (folder: string, options: AlertOptions) => (await load()).exportHelmCommand(folder, options),
  )
  exports
    .command('systemd')
    .description('the unit of systemd')
    .argument('[folder]', 'where to', '.')
    .action(async (folder: string) => (await load()).exportSystemdCommand(folder))
  exports
    .command('openapi')
    .description('print the description of the RAG API')
    .action(async () => (await load()).exportOpenapiCommand())
  withLevel(exports.command('dashboards').description('the dashboards for Grafana').argument('[folder]', 'where to', '.')).action(
    async (folder: string, options: LevelOptions) => (await load()).exportDashboardsCommand(folder, options),
  )
  withRunbooks(exports.command('alerts').description('print the rule file for Prometheus')).action(async (options: AlertOptions) =>
    (await load()).exportAlertsCommand(options),
  )
}

/** The promise, and where the alerts lead. */
function withRunbooks(command: Command): Command {
  return withLevel(command).option('--runbooks <url>', 'where the runbooks are found, such as https://HOST/docs/runbooks of a gateway')
}

/** The promise that dashboards and alerts are made for. */
function withLevel(command: Command): Command {
  return command
    .option('--availability <share>', 'share of requests that must be good over 30 days (0.999)')
    .option('--first-token-share <share>', 'share of streams whose first token must come in time (0.95)')
    .option('--first-token-seconds <seconds>', 'what is in time (2.5)')
}
