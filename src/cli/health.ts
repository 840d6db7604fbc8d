/**
 * `corral health`: does the gateway that this configuration describes live. For health checks of containers, which run beside
 * the gateway and know its environment and files but not its flags: those are read from its command line, as Linux shows it.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'

import { Command } from 'commander'

import { urlOf } from './banner.ts'
import { withConfig } from './config-flags.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { reasonOf } from './gateway.ts'
import { printData } from './output.ts'
import { type ConfigOptions, settingsOf } from './settings.ts'

export interface HealthOptions extends ConfigOptions {
  /** Id of the process whose flags count instead of one's own. */
  readonly pid?: string
}

/** Below the timeout of the image's health check. */
const answerTimeoutMs = 2_000

/**
 * The options in the command line of a gateway: what follows the script, whatever starts it (node, an init, a wrapper).
 * `commandLine` holds the arguments as `/proc/PID/cmdline` does, each ended by a zero byte.
 */
export function optionsOfCommandLine(commandLine: string): ConfigOptions {
  const words = commandLine.split('\0').slice(0, -1)
  const script = words.findIndex((word) => /^(main\.[jt]s|corral)$/.test(basename(word)))
  if (script < 0) throw new CliError(exitCodes.usage, '--pid: that process is no Corral')
  const command = withConfig(new Command())
    .allowUnknownOption()
    .allowExcessArguments()
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
  return command.parse(words.slice(script + 1), { from: 'user' }).opts<ConfigOptions>()
}

function optionsOf({ pid, ...own }: HealthOptions): ConfigOptions {
  if (pid === undefined) return own
  if (!/^\d+$/.test(pid)) throw new CliError(exitCodes.usage, `--pid: expected the number of a process, got ${pid}`)
  try {
    return optionsOfCommandLine(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new CliError(exitCodes.unreachable, `--pid: there is no process ${pid} to be seen`)
    }
    throw error
  }
}

/** Says `ok`, or fails with exit code 3 when nothing answers `/livez` in time. */
export async function healthCommand(options: HealthOptions): Promise<void> {
  const { config } = await settingsOf(optionsOf(options))
  const { host, port } = config.http
  if (port === 0) throw new CliError(exitCodes.usage, 'http.port is 0: the port the system chose cannot be known here')
  const url = `${urlOf(host, port)}/livez`
  const response = await fetch(url, { signal: AbortSignal.timeout(answerTimeoutMs) }).catch((error: unknown) => {
    throw new CliError(exitCodes.unreachable, `no gateway answers at ${url} (${reasonOf(error)})`)
  })
  await response.arrayBuffer()
  if (!response.ok) throw new CliError(exitCodes.unreachable, `${url} answered ${response.status}`)
  printData('ok')
}
