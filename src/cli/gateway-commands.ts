/** The commands that ask a running gateway, as commander sees them. Their code loads when they run. */
import type { Command } from 'commander'

import type { GatewayOptions } from './gateway.ts'
import type { AddOptions } from './nodes.ts'

/** Options of commands that ask a running gateway. */
function withGateway(command: Command): Command {
  return command
    .option('--url <url>', 'the gateway (else the address in the configuration)')
    .option('-c, --config <file>', 'configuration file to take the address from')
    .option('--json', 'print JSON')
}

function addNodes(program: Command): void {
  const nodes = program.command('nodes').description('the nodes of a running gateway: ls, add, rm, drain, undrain')
  const load = () => import('./nodes.ts')
  withGateway(nodes.command('ls').description('list nodes')).action(async (options: GatewayOptions) =>
    (await load()).nodesLsCommand(options),
  )
  withGateway(nodes.command('add').description('add a node until the next restart').argument('<url>'))
    .option('--name <name>', 'short name (else host:port)')
    .option('--slots <count>', 'generations at once per model (else learned)')
    .action(async (url: string, options: AddOptions) => (await load()).nodesAddCommand(url, options))
  withGateway(nodes.command('rm').description('remove a node until the next restart').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).nodesRemoveCommand(name, options),
  )
  withGateway(nodes.command('drain').description('send no new requests to a node').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).nodesDrainCommand(name, true, options),
  )
  withGateway(nodes.command('undrain').description('send requests to a node again').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).nodesDrainCommand(name, false, options),
  )
}

function addModels(program: Command): void {
  const models = program.command('models').description('the models of the fleet: ls, pull')
  const load = () => import('./models.ts')
  withGateway(models.command('ls').description('list models')).action(async (options: GatewayOptions) =>
    (await load()).modelsLsCommand(options),
  )
  withGateway(models.command('pull').description('fetch a model onto the nodes').argument('<model>')).action(
    async (model: string, options: GatewayOptions) => (await load()).modelsPullCommand(model, options),
  )
}

/** Adds `nodes`, `models` and `top`. */
export function addGatewayCommands(program: Command): void {
  addNodes(program)
  addModels(program)
  withGateway(program.command('top').description('the fleet, live in the terminal')).action(async (options: GatewayOptions) =>
    (await import('./top.ts')).topCommand(options),
  )
}
