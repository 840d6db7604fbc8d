/** The flags of every command that reads the configuration, in one place: `health` reads them from another process, too. */
import { type Command, Option } from 'commander'

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** Adds the options that `ConfigOptions` names. */
export function withConfig(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file (else CORRAL_CONFIG, else ./corral.yaml)')
    .option('--host <address>', 'address to bind (http.host)')
    .option('--port <port>', 'port to bind (http.port)')
    .option('--workers <count>', 'processes on that port, for more cores (http.workers)')
    .addOption(new Option('--node <url>', 'Ollama server, repeatable (fleet.nodes)').argParser(collect))
    .option('--insecure-no-auth', 'allow an address that other machines can reach')
    .addOption(new Option('--set <key=value>', 'any key, repeatable: --set fleet.retry.enabled=false').argParser(collect))
}
