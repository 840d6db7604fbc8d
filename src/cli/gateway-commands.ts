/** The commands that ask a running gateway, as commander sees them. Their code loads when they run. */
import { type Command, Option } from 'commander'

import type { PurgeOptions } from './cache.ts'
import type { GatewayOptions } from './gateway.ts'
import { collect, withGateway } from './gateway-flags.ts'
import type { CreateOptions, ListOptions, RotateOptions } from './keys.ts'
import { withLimits } from './limit-flags.ts'
import type { AddOptions } from './nodes.ts'
import type { TenantSetOptions } from './tenants.ts'
import type { UsageOptions } from './usage.ts'

function addNodes(program: Command): void {
  const nodes = program.command('nodes').description('the nodes of a running gateway: ls, add, rm, drain, undrain')
  const load = () => import('./nodes.ts')
  withGateway(nodes.command('ls').description('list nodes')).action(async (options: GatewayOptions) =>
    (await load()).nodesLsCommand(options),
  )
  withGateway(nodes.command('add').description('add a node, or one that was removed again').argument('<url>'))
    .option('--name <name>', 'short name (else host:port)')
    .option('--slots <count>', 'generations at once per model (else learned)')
    .action(async (url: string, options: AddOptions) => (await load()).nodesAddCommand(url, options))
  withGateway(nodes.command('rm').description('take a node out').argument('<name>')).action(async (name: string, options: GatewayOptions) =>
    (await load()).nodesRemoveCommand(name, options),
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

function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .description('API keys of a running gateway: create, ls, rotate, revoke, restore (as the key in CORRAL_API_KEY)')
  const load = () => import('./keys.ts')
  withLimits(withGateway(keys.command('create').description('make a key and print it, this once')))
    .option('--title <text>', 'what it is for')
    .addOption(new Option('--scope <scope>', 'repeatable (else chat, embed, models:read)').argParser(collect))
    .addOption(new Option('--model <name>', 'model or pattern with *, repeatable (else all)').argParser(collect))
    .option('--tenant <name>', 'whose key (else your own tenant)')
    .option('--node-group <name>', 'nodes it is served by (else all)')
    .option('--cache <mode>', 'which answers are cached: auto, on or off (else as configured)')
    .option('--expires <duration>', 'such as 90d, or never (else identity.keys.lifeMs)')
    .option('--public-key <file>', 'register an Ollama client that signs: its ~/.ollama/id_ed25519.pub')
    .action(async (options: CreateOptions) => (await load()).keysCreateCommand(options))
  withGateway(keys.command('ls').description('list keys'))
    .option('--tenant <name>', 'only of this tenant')
    .option('--all', 'revoked and expired ones too')
    .action(async (options: ListOptions) => (await load()).keysLsCommand(options))
  withGateway(keys.command('rotate').description('make a successor; the old key goes on for a while').argument('<id>'))
    .option('--overlap <duration>', 'how long the old one goes on (else identity.keys.overlapMs)')
    .option('--expires <duration>', 'life of the new one (else as long as the old one had)')
    .action(async (id: string, options: RotateOptions) => (await load()).keysRotateCommand(id, options))
  withGateway(keys.command('revoke').description('refuse a key from now on').argument('<id>'))
    .requiredOption('--reason <text>', 'kept with the key and in the audit log')
    .action(async (id: string, options: GatewayOptions & { reason: string }) => (await load()).keysRevokeCommand(id, options))
  withGateway(keys.command('restore').description('take a revocation back, shortly after it').argument('<id>')).action(
    async (id: string, options: GatewayOptions) => (await load()).keysRestoreCommand(id, options),
  )
}

function addTenants(program: Command): void {
  const tenants = program.command('tenants').description('tenants of a running gateway: ls, set')
  const load = () => import('./tenants.ts')
  withGateway(tenants.command('ls').description('list tenants')).action(async (options: GatewayOptions) =>
    (await load()).tenantsLsCommand(options),
  )
  withLimits(withGateway(tenants.command('set').description('make a tenant, or change it').argument('<name>')))
    .option('--title <text>', 'who it is')
    .option('--suspend', 'let none of its credentials in')
    .option('--resume', 'let them in again')
    .action(async (name: string, options: TenantSetOptions) => (await load()).tenantsSetCommand(name, options))
}

function addUsage(program: Command): void {
  withGateway(program.command('usage').description('what was used: requests, tokens, GPU time (as the key in CORRAL_API_KEY)'))
    .option('--by <groups>', 'any of tenant,subject,model,node,route,cache,day (else one sum)')
    .option('--from <time>', 'a day, a time, or how long ago, such as 7d')
    .option('--to <time>', 'not included')
    .option('--tenant <name>', 'only of this tenant')
    .option('--subject <id>', 'only of this key or token subject')
    .option('--key <id>', 'the same')
    .option('--model <name>', 'only of this model')
    .option('--status <status>', 'only with this status: 429, or 5xx')
    .option('--csv', 'print CSV')
    .option('--history', 'the requests one by one, newest first')
    .option('--route <path>', 'with --history: only this route, such as /api/chat')
    .option('--outcome <name>', 'with --history: ok, client_gone, truncated, node_error, client_error, rejected or internal')
    .option('--limit <count>', 'with --history: how many (else 50; all as JSON lines or CSV)')
    .option('--all', 'with --history: all of them')
    .option('--request <id>', 'one request, with its words where those are kept')
    .action(async (options: UsageOptions) => (await import('./usage.ts')).usageCommand(options))
}

function addCache(program: Command): void {
  const cache = program.command('cache').description('the caches of a running gateway: stats, purge')
  const load = () => import('./cache.ts')
  withGateway(cache.command('stats').description('what they hold and did')).action(async (options: GatewayOptions) =>
    (await load()).cacheStatsCommand(options),
  )
  withGateway(cache.command('purge').description('take answers out; without --yes only count them'))
    .option('--tenant <name>', 'of this tenant')
    .option('--model <name>', 'of this model')
    .option('--kind <kind>', 'inference or embedding')
    .option('--key <key>', 'one entry')
    .option('--all', 'everything')
    .option('--yes', 'do it')
    .action(async (options: PurgeOptions) => (await load()).cachePurgeCommand(options))
}

function addAudit(program: Command): void {
  const audit = program.command('audit').description('the audit log of a running gateway: verify')
  withGateway(audit.command('verify').description('whether it is as it was written')).action(async (options: GatewayOptions) =>
    (await import('./audit.ts')).auditVerifyCommand(options),
  )
}

function addFeatures(program: Command): void {
  const features = program.command('features').description('capabilities of a running gateway: ls, on, off, reset')
  const load = () => import('./features.ts')
  withGateway(features.command('ls').description('what is on, and where that comes from')).action(async (options: GatewayOptions) =>
    (await load()).featuresLsCommand(options),
  )
  withGateway(features.command('on').description('switch one on, on all replicas, until it is reset').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).featureSwitchCommand(name, true, options),
  )
  withGateway(features.command('off').description('switch one off, on all replicas, until it is reset').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).featureSwitchCommand(name, false, options),
  )
  withGateway(features.command('reset').description('as configured again').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).featureSwitchCommand(name, null, options),
  )
}

/** Adds `nodes`, `models`, `keys`, `tenants`, `usage`, `cache`, `audit`, `features`, `explain` and `top`. */
export function addGatewayCommands(program: Command): void {
  addNodes(program)
  addModels(program)
  addKeys(program)
  addTenants(program)
  addUsage(program)
  addCache(program)
  addAudit(program)
  addFeatures(program)
  withGateway(
    program.command('explain').description('why a request sent with X-Corral-Explain: true went where it went').argument('<request-id>'),
  ).action(async (id: string, options: GatewayOptions) => (await import('./explain.ts')).explainCommand(id, options))
  withGateway(program.command('top').description('the fleet, live in the terminal')).action(async (options: GatewayOptions) =>
    (await import('./top.ts')).topCommand(options),
  )
}
