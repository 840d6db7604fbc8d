/** Options that commands which ask a running gateway have in common. */
import type { Command } from 'commander'

/** Where the gateway is, and JSON. */
export function withGateway(command: Command): Command {
  return command
    .option('--url <url>', 'the gateway (else the address in the configuration)')
    .option('-c, --config <file>', 'configuration file to take the address from')
    .option('--json', 'print JSON')
}

/** Gathers an option that may be given more than once. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}
