/** The commands for documents, as commander sees them. Their code loads when they run. */
import { type Command, Option } from 'commander'

import type { GatewayOptions } from '../gateway.ts'
import { collect, withGateway } from '../gateway-flags.ts'
import type { PutOptions } from './assistants.ts'
import type { AskOptions } from './ask.ts'
import type { SettingFlags } from './collections.ts'
import type { RemoveDocumentsOptions } from './documents.ts'
import type { IngestOptions } from './ingest.ts'
import type { JobsLsOptions, RetryOptions } from './jobs.ts'
import type { SearchOptions } from './search.ts'

const repeated = (flags: string, text: string): Option => new Option(flags, text).argParser(collect)

function addIngest(program: Command): void {
  withGateway(
    program
      .command('ingest')
      .description('put files, folders and web pages into a collection')
      .argument('<paths...>', 'files, folders or URLs'),
  )
    .option('--collection <name>', "made when it is not there (else the folder's name, or default)")
    .option('--id <id>', "the document's name, of one file or page (else the file's name, or the URL)")
    .option('--no-wait', 'end when all are given; the gateway goes on')
    .option('--watch', 'stay, and keep the collection as the folder is')
    .addOption(repeated('--include <glob>', 'only files with such a path below the folder, repeatable'))
    .addOption(repeated('--exclude <glob>', 'no such files, repeatable; hidden files and node_modules never'))
    .action(async (paths: readonly string[], options: IngestOptions) => (await import('./ingest.ts')).ingestCommand(paths, options))
}

function addQuestions(program: Command): void {
  withGateway(program.command('ask').description('an answer from documents, with its sources').argument('<question>'))
    .addOption(repeated('--collection <name>', 'where to look, repeatable (else all collections)'))
    .option('--assistant <name>', 'ask an assistant, with its collections and model')
    .option('--model <name>', 'who answers (else one that is loaded)')
    .option('--sources', 'list all passages that were read, and the cited words')
    .action(async (question: string, options: AskOptions) => (await import('./ask.ts')).askCommand(question, options))
  withGateway(program.command('search').description('the passages that fit a query best').argument('<query>'))
    .addOption(repeated('--collection <name>', 'where to look, repeatable (else all collections)'))
    .option('--limit <count>', 'how many (else 5)')
    .addOption(new Option('--mode <mode>', 'else hybrid').choices(['hybrid', 'keyword', 'vector']))
    .option('--explain', 'how it was found, and why so')
    .action(async (query: string, options: SearchOptions) => (await import('./search.ts')).searchCommand(query, options))
}

function withSettings(command: Command): Command {
  return withGateway(command)
    .option('--embedder <model>', 'who embeds it; none: found by words only')
    .option('--language <name>', 'whose word forms are known: auto, none, english, …')
    .option('--fusion-weight <share>', 'of the meaning in the score, 0 to 1')
    .option('--retention-days <days>', 'documents older than this are removed; none: never')
    .option('--target-tokens <count>', 'what a chunk aims at')
    .option('--max-tokens <count>', 'what no chunk exceeds')
    .option('--overlap-tokens <count>', 'what a chunk repeats of the one before')
    .addOption(new Option('--vector-storage <kind>', 'half takes half the space').choices(['full', 'half']))
}

function addCollections(program: Command): void {
  const collections = program.command('collections').description('collections of documents: ls, show, create, set, reingest, rm, purge')
  const load = () => import('./collections.ts')
  withGateway(collections.command('ls').description('list collections')).action(async (options: GatewayOptions) =>
    (await load()).collectionsLsCommand(options),
  )
  withGateway(collections.command('show').description('one, with its settings').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).collectionsShowCommand(name, options),
  )
  withSettings(collections.command('create').description('make a collection').argument('<name>')).action(
    async (name: string, options: GatewayOptions & SettingFlags) => (await load()).collectionsCreateCommand(name, options),
  )
  withSettings(
    collections.command('set').description('change settings; documents that are there stay as they are until reingest').argument('<name>'),
  ).action(async (name: string, options: GatewayOptions & SettingFlags) => (await load()).collectionsSetCommand(name, options))
  withGateway(
    collections.command('reingest').description('make all documents again from their bytes, by present settings').argument('<name>'),
  ).action(async (name: string, options: GatewayOptions) => (await load()).collectionsReingestCommand(name, options))
  withGateway(collections.command('rm').description('remove a collection with all that is in it').argument('<name>'))
    .option('--yes', 'do it')
    .action(async (name: string, options: GatewayOptions & { yes?: boolean }) => (await load()).collectionsRmCommand(name, options))
  withGateway(collections.command('purge').description('remove all documents, keep the settings').argument('<name>'))
    .option('--yes', 'do it')
    .action(async (name: string, options: GatewayOptions & { yes?: boolean }) => (await load()).collectionsPurgeCommand(name, options))
}

function addDocuments(program: Command): void {
  const documents = program.command('documents').description('what a collection holds: ls, show, rm')
  const load = () => import('./documents.ts')
  withGateway(documents.command('ls').description('list its documents').argument('<collection>')).action(
    async (collection: string, options: GatewayOptions) => (await load()).documentsLsCommand(collection, options),
  )
  withGateway(documents.command('show').description('one, with its metadata').argument('<collection>').argument('<id>')).action(
    async (collection: string, id: string, options: GatewayOptions) => (await load()).documentsShowCommand(collection, id, options),
  )
  withGateway(documents.command('rm').description('remove documents').argument('<collection>').argument('<ids...>'))
    .option('--purge', 'and all that is cached for the tenant, and the texts of its answers')
    .option('--yes', 'do it, with --purge')
    .action(async (collection: string, ids: readonly string[], options: RemoveDocumentsOptions) =>
      (await load()).documentsRmCommand(collection, ids, options),
    )
}

function addJobs(program: Command): void {
  const jobs = program.command('jobs').description('documents on their way in: ls, show, retry, cancel, pause, resume')
  const load = () => import('./jobs.ts')
  withGateway(jobs.command('ls').description('list jobs, newest first'))
    .option('--collection <name>', 'only of this collection')
    .addOption(new Option('--state <state>', 'only in this state').choices(['queued', 'running', 'paused', 'done', 'failed', 'cancelled']))
    .option('--limit <count>', 'how many, at most 200 (else 50)')
    .action(async (options: JobsLsOptions) => (await load()).jobsLsCommand(options))
  withGateway(jobs.command('show').description('one, stage by stage').argument('<id>')).action(
    async (id: string, options: GatewayOptions) => (await load()).jobsShowCommand(id, options),
  )
  withGateway(jobs.command('retry').description('try a failed job again').argument('[id]'))
    .option('--failed', 'all that failed')
    .option('--collection <name>', 'with --failed: only of this collection')
    .action(async (id: string | undefined, options: RetryOptions) => (await load()).jobsRetryCommand(id, options))
  const controls = { cancel: 'end a job for good', pause: 'let a job wait', resume: 'let a paused job go on' } as const
  for (const action of ['cancel', 'pause', 'resume'] as const) {
    withGateway(jobs.command(action).description(controls[action]).argument('<id>')).action(async (id: string, options: GatewayOptions) =>
      (await load()).jobsControlCommand(action, id, options),
    )
  }
}

function addAssistants(program: Command): void {
  const assistants = program.command('assistants').description('models that answer from collections: ls, show, put, rm')
  const load = () => import('./assistants.ts')
  withGateway(assistants.command('ls').description('list assistants')).action(async (options: GatewayOptions) =>
    (await load()).assistantsLsCommand(options),
  )
  withGateway(assistants.command('show').description('one, with its settings').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).assistantsShowCommand(name, options),
  )
  withGateway(assistants.command('put').description('make one, or change what the flags name').argument('<name>'))
    .addOption(repeated('--collection <name>', 'where it looks, repeatable'))
    .option('--model <name>', 'the model that answers')
    .option('--title <text>', 'what it is')
    .option('--prompt <text>', 'what the model is told before all else')
    .option('--prompt-file <file>', 'the same from a file')
    .addOption(repeated('--set <setting=value>', 'such as passages=4, repeatable (docs/answers.md)'))
    .action(async (name: string, options: PutOptions) => (await load()).assistantsPutCommand(name, options))
  withGateway(assistants.command('rm').description('remove one; its collections stay').argument('<name>')).action(
    async (name: string, options: GatewayOptions) => (await load()).assistantsRmCommand(name, options),
  )
}

/** Adds `ingest`, `ask`, `search`, `collections`, `documents`, `jobs` and `assistants`. */
export function addRagCommands(program: Command): void {
  addIngest(program)
  addQuestions(program)
  addCollections(program)
  addDocuments(program)
  addJobs(program)
  addAssistants(program)
}
