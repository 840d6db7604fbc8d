/**
 * The command line: names, options and help. A command's code loads only when it runs, so that `serve` starts fast.
 */
import { Command, CommanderError } from 'commander'

import { nearest } from '../config/problem.ts'
import type { CheckOptions } from './check.ts'
import type { CommandTree } from './completion.ts'
import type { ShowOptions } from './config-command.ts'
import { withConfig } from './config-flags.ts'
import type { DoctorOptions } from './doctor.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { addExportCommands } from './export-commands.ts'
import { addGatewayCommands } from './gateway-commands.ts'
import type { HealthOptions } from './health.ts'
import type { MigrateStatusOptions, MigrateUpOptions } from './migrate.ts'
import { endOnClosedPipe, painter, printData, printMessage } from './output.ts'
import { addRagCommands } from './rag/rag-commands.ts'
import type { ReplayOptions } from './replay/replay.ts'
import type { ConfigOptions } from './settings.ts'
import type { TuneWeightOptions } from './tune-weight.ts'
import type { TuneCommandOptions } from './tune.ts'
import { corralVersion, versionCommand } from './version.ts'

const helpTail = `
Examples:
  corral                                             gateway on 127.0.0.1:11435 for the Ollama on this machine
  corral --node http://a:11434 --node http://b:11434
  corral check && corral doctor
  corral top
  corral ingest ./docs && corral ask "What is a drained node?"

Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 gateway not reachable, 4 credential missing or not allowed, 130 interrupted`

function addServe(program: Command): void {
  const serve = program.command('serve', { isDefault: true }).description('run the gateway (the default command)')
  withConfig(serve)
    .argument('[unknown...]')
    .usage('[options]')
    .action(async (unknown: readonly string[], options: ConfigOptions) => {
      const [word] = unknown
      if (word !== undefined) throw unknownCommand(program, word)
      const { serveCommand } = await import('./serve.ts')
      await serveCommand(options)
    })
}

function unknownCommand(program: Command, word: string): CliError {
  const names = program.commands.map((command) => command.name())
  const meant = nearest(word, names)
  return new CliError(exitCodes.usage, `unknown command ${word}${meant === null ? '; see corral --help' : `; did you mean ${meant}?`}`)
}

function addConfig(program: Command): void {
  const config = program.command('config').description('the configuration: show, schema')
  withConfig(config.command('show').description('print the effective configuration, secrets masked'))
    .option('--origin', 'one value per line, with where it came from')
    .option('--json', 'print JSON')
    .action(async (options: ShowOptions) => (await import('./config-command.ts')).configShowCommand(options))
  config
    .command('schema')
    .description('print the JSON Schema of corral.yaml')
    .action(async () => (await import('./config-command.ts')).configSchemaCommand())
}

function addChecks(program: Command): void {
  withConfig(program.command('check').description('is the configuration valid, does every node answer'))
    .option('--json', 'print JSON')
    .action(async (options: CheckOptions) => (await import('./check.ts')).checkCommand(options))
  withConfig(program.command('doctor').description('look for everything that commonly goes wrong, with hints'))
    .option('--json', 'print JSON')
    .option('--url <url>', 'where clients reach the gateway, to look through what stands before it')
    .option('--chaos', 'play the faults of real nodes on simulated ones behind this configuration, with a scorecard')
    .action(async (options: DoctorOptions & { readonly chaos?: boolean }) =>
      options.chaos === true
        ? (await import('./chaos/chaos.ts')).chaosCommand(options)
        : (await import('./doctor.ts')).doctorCommand(options),
    )
  withConfig(program.command('health').description('does the gateway of this configuration live; for container health checks'))
    .option('--pid <pid>', 'take the flags from the command line of this process (Linux)')
    .action(async (options: HealthOptions) => (await import('./health.ts')).healthCommand(options))
}

function addReplay(program: Command): void {
  withConfig(program.command('replay').description("foretell another policy from a log's requests, before it is switched"))
    .argument('<file>', 'lines of the access log, or corral usage --history --json or --csv')
    .requiredOption('--policy <name>', 'least-loaded or expected-completion')
    .option('--memory <size>', 'model memory of each node', '24GB')
    .option('--json', 'print JSON')
    .action(async (file: string, options: ReplayOptions) => (await import('./replay/replay.ts')).replayCommand(file, options))
}

function addStore(program: Command): void {
  const migrate = withConfig(program.command('migrate').description("the store's schema: status, up; or move it to a server"))
    .option('--to <url>', 'copy the embedded store into an empty Postgres database')
    .action(async (options: ConfigOptions & { readonly to?: string }, command: Command) => {
      const { to } = options
      if (to === undefined) return command.help({ error: true })
      await (await import('./migrate.ts')).migrateToCommand({ ...options, to })
    })
  withConfig(migrate.command('status').description('what is applied, what is pending'))
    .option('--json', 'print JSON')
    .action(async (_options, command: Command) =>
      (await import('./migrate.ts')).migrateStatusCommand(command.optsWithGlobals<MigrateStatusOptions>()),
    )
  withConfig(migrate.command('up').description('apply what is pending'))
    .option('--dry-run', 'print the SQL instead')
    .action(async (_options, command: Command) =>
      (await import('./migrate.ts')).migrateUpCommand(command.optsWithGlobals<MigrateUpOptions>()),
    )
  withConfig(program.command('backup').description('write the embedded store to a file'))
    .argument('<file>')
    .action(async (file: string, options: ConfigOptions) => (await import('./backup.ts')).backupCommand(file, options))
  withConfig(program.command('restore').description('put a backup in place of the embedded store'))
    .argument('<file>')
    .action(async (file: string, options: ConfigOptions) => (await import('./backup.ts')).restoreCommand(file, options))
}

function addSearch(program: Command): void {
  withConfig(program.command('tune').description('find the vector index that serves a collection best, or the weight of its vectors'))
    .argument('<collection>')
    .option('--judged <file>', 'instead of the index: learn the weight of vectors against words from queries with their right documents')
    .option('--url <url>', 'with --judged: the gateway (else the address in the configuration)')
    .option('--tenant <tenant>', 'whose collection it is; with --judged the key tells')
    .option('--json', 'print JSON')
    .option('--apply', 'set what was found; an index is built')
    .action(async (collection: string, options: TuneCommandOptions & TuneWeightOptions) =>
      options.judged === undefined
        ? (await import('./tune.ts')).tuneCommand(collection, options)
        : (await import('./tune-weight.ts')).tuneWeightCommand(collection, { ...options, judged: options.judged }),
    )
}

function addRest(program: Command): void {
  program
    .command('bench')
    .description('run the benchmarks (in a checkout)')
    .argument('[args...]', 'passed on')
    .allowUnknownOption()
    .action(async (args: readonly string[]) => (await import('./bench.ts')).benchCommand(args))
  program
    .command('version')
    .description('print the version')
    .option('--json', 'print JSON')
    .action((options: { json?: boolean }) => versionCommand(options))
  program
    .command('completion')
    .description('print a completion script for bash, zsh or fish')
    .argument('<shell>')
    .action(async (shell: string) => printData((await import('./completion.ts')).completionScript(shell, treeOf(program))))
}

function treeOf(command: Command): CommandTree {
  return {
    name: command.name(),
    description: command.description(),
    options: command.options.map(({ long, description, required }) => ({ long: long ?? '', description, takesValue: required })),
    children: command.commands.map(treeOf),
  }
}

/** The whole tree of commands. */
export function createProgram(): Command {
  const program = new Command('corral')
    .description('One endpoint for many Ollama servers: health-checked, load-balanced, observable.')
    .version(`corral ${corralVersion}`, '-V, --version')
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text.replace(/^error: /, 'corral: ')) })
    .configureHelp({ subcommandTerm: (command) => command.name(), sortSubcommands: false })
    .addHelpText('after', helpTail)
  addServe(program)
  addChecks(program)
  addReplay(program)
  addConfig(program)
  addGatewayCommands(program)
  addRagCommands(program)
  addStore(program)
  addSearch(program)
  addExportCommands(program)
  addRest(program)
  program.hook('preAction', (_program, command) => {
    // `serve` drains on an interrupt and outlives its readers; every other command just ends.
    if (command.name() === 'serve') return
    endOnClosedPipe()
    // An ingest cancels what it began.
    if (command.name() !== 'ingest') process.once('SIGINT', interrupted)
  })
  return program
}

/** Leaves the line that a progress bar may stand on. */
function interrupted(): void {
  if (process.stderr.isTTY) printMessage('')
  process.exit(exitCodes.interrupted)
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  const paint = painter(process.stderr)
  if (error instanceof CliError) {
    if (error.message !== '') printMessage(`${paint('red', 'corral:')} ${error.message}`)
    for (const line of error.lines) printMessage(`  ${line}`)
    return error.exitCode
  }
  printMessage(`${paint('red', 'corral:')} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return exitCodes.failure
}

/** Runs the command in `argv` (without node and script) and sets the exit code. */
export async function run(argv: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync(argv, { from: 'user' })
  } catch (error) {
    process.exitCode = report(error)
  }
}
