/**
 * `corral serve`: load, listen, say so, and wait for signals. SIGINT and SIGTERM drain (a second one ends at once), SIGHUP
 * reloads. What cannot start ends with one sentence: 2 for a configuration, 1 for a port.
 */
import { closeSync, openSync } from 'node:fs'
import { isatty } from 'node:tty'

import { systemClock } from '../base/clock.ts'
import { formatDuration } from '../base/units.ts'
import { CorralError } from '../core/errors.ts'
import { processMemory } from '../http/memory-guard.ts'
import type { PeerAnswer, PeerQuestion } from '../http/peers.ts'
import { DataFolderError } from '../store/data-folder.ts'
import { type Config, problemText } from '../config/index.ts'
import { shareOf } from '../config/worker-share.ts'
import { createReloader, type ReloadResult, reloadLines } from '../config/reload.ts'
import { firstKeyLines, listeningLines, nodeLines, type NodeSight, noNodeText, urlOf } from './banner.ts'
import { CliError, type ExitCode, exitCodes } from './exit-code.ts'
import { goOnWithoutReaders, printMessage } from './output.ts'
import { type ConfigOptions, type Settings, settingsOf, tryLoad } from './settings.ts'
import { releaseStartMemory } from './start-memory.ts'
import { corralVersion } from './version.ts'
import { joinWorkers, type WorkerChannel } from './worker.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/** The part of the application that serving needs. */
export interface ServedApp {
  /** Takes over what was changed by hand in the other workers of this machine, before `listen`. */
  followPeers(): Promise<void>
  listen(): Promise<Address>
  close(graceMs: number): Promise<void>
  reload(config: Config, sources?: Pick<Settings, 'origins' | 'file'>): Promise<void>
  noteRefused(problems: readonly string[]): void
  /** Opens what is kept; rejects when it cannot be had. */
  openStores(): Promise<void>
  /** Answers another worker of this machine. */
  answerPeer(question: PeerQuestion): Promise<PeerAnswer>
  readonly identity: { readonly makeFirstKey: () => Promise<string | null> } | null
  readonly fleet: { readonly nodes: readonly NodeSight[] }
  /** Hears of a refused reload, logs and counts it. */
  readonly observer: {
    readonly logger: { warn(fields: object, message: string): void }
    configLoaded(error: string | null): void
    /** The log file may have been renamed: opens it anew. */
    reopenLog(): void
    /** Writes the lines of the log that are still held. */
    flushSync(): void
  }
}

/** How long the banner waits for the first probes beyond their own deadline. */
const bannerExtraMs = 250
const bannerPollMs = 25

/** The configuration in force: a reload changes it. */
interface InForce {
  config: Config
}

type Say = (level: 'info' | 'warn' | 'error', lines: readonly string[], fields?: Readonly<Record<string, unknown>>) => void

/** Text on a terminal or when asked for, JSON lines else. */
function saysText({ observe }: Config): boolean {
  const { format } = observe.log
  return format === 'pretty' || (format === 'auto' && process.stderr.isTTY)
}

/** Follows the log level of the configuration in force; the format waits for a restart, as that of the log does. */
function speaker(inForce: InForce): Say {
  const isText = saysText(inForce.config)
  return (level, lines, fields = {}) => {
    if (inForce.config.observe.log.level === 'silent') return
    if (isText) {
      for (const line of lines) printMessage(line)
      return
    }
    const time = new Date(systemClock.wallMs()).toISOString()
    for (const msg of lines) printMessage(JSON.stringify({ level, time, ...fields, msg }))
  }
}

/** The configuration as it holds for this process, which may be one of several workers. */
function ownConfig(config: Config, channel: WorkerChannel | null): Config {
  return channel === null ? config : shareOf(config, channel.place, processMemory.systemLimitBytes())
}

async function createServedApp(
  { config: whole, origins, file }: Settings,
  channel: WorkerChannel | null,
): Promise<{ readonly app: ServedApp; readonly trouble: string | null }> {
  const { createApp } = await import('../app.ts')
  const { createDurable } = await import('../durable.ts')
  let app: ServedApp | null = null
  const config = ownConfig(whole, channel)
  const workers = channel === null ? {} : { peers: channel.peers, place: channel.place, machine: channel.machine }
  const report = (message: string, cause: unknown): void => app?.observer.logger.warn(cause === null ? {} : { err: cause }, message)
  try {
    const stores = await createDurable({ config, clock: systemClock, random: Math.random, report })
    app = await createApp({
      config,
      clock: systemClock,
      version: corralVersion,
      terminal: process.stdout.isTTY,
      stores,
      sources: { origins, file },
      ...workers,
    })
    return { app, trouble: stores.trouble }
  } catch (error) {
    if (error instanceof CorralError || error instanceof DataFolderError) throw new CliError(exitCodes.usage, error.message)
    if (error instanceof Error && 'path' in error) {
      throw new CliError(exitCodes.usage, `a file that the configuration names cannot be opened: ${error.message}`)
    }
    throw error
  }
}

/** The sentence for an address that cannot be bound. */
function bindError(error: unknown, { host, port }: Config['http']): CliError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const address = `${host}:${port}`
  if (code === 'EADDRINUSE') {
    return new CliError(exitCodes.failure, `${address} is in use by another process: stop it, or choose another port with --port`)
  }
  if (code === 'EACCES')
    return new CliError(exitCodes.failure, `${address} may not be bound by this user: choose a port over 1023 with --port`)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new CliError(exitCodes.failure, `${host} is no address of this machine: choose one with --host`)
  }
  return new CliError(exitCodes.failure, `cannot listen on ${address}: ${error instanceof Error ? error.message : String(error)}`)
}

async function firstProbes(app: ServedApp, timeoutMs: number): Promise<void> {
  const untilMs = systemClock.nowMs() + timeoutMs
  const isOpen = (node: NodeSight): boolean => node.up === null || (node.up && !node.modelsKnown)
  while (app.fleet.nodes.some(isOpen) && systemClock.nowMs() < untilMs) await systemClock.sleep(bannerPollMs)
}

/** A gateway that runs, and what saying and stopping need of it. */
interface Serving {
  readonly app: ServedApp
  readonly say: Say
  readonly settings: Settings
  readonly address: Address
  readonly inForce: InForce
  /** Null: this process is the whole gateway. */
  readonly channel: WorkerChannel | null
}

function announceListening({ say, settings, address }: Serving): void {
  const { config, file } = settings
  const lines = saysText(config) ? listeningLines(settings, address) : [`listening ${urlOf(address.host, address.port)}`]
  say('info', lines, { ...address, config: file })
}

async function announceNodes({ app, say, settings, address }: Serving): Promise<void> {
  const { config } = settings
  await firstProbes(app, config.fleet.probe.timeoutMs + bannerExtraMs)
  const { nodes } = app.fleet
  if (saysText(config)) say('info', nodeLines(nodes, urlOf(address.host, address.port)))
  else if (!nodes.some((node) => node.up === true)) say('warn', [noNodeText])
}

/**
 * Opens what is kept, in its own time. Where everybody may ask, a store that cannot be had costs what would have been kept; where keys
 * are wanted nobody could be let in, so the process ends. The first key of an installation is said once, here.
 */
async function openStores({ app, say, settings, address, channel }: Serving): Promise<void> {
  try {
    await app.openStores()
    if (!speaksForAll(channel)) return
    const key = (await app.identity?.makeFirstKey()) ?? null
    if (key !== null) {
      const lines = firstKeyLines(key, urlOf(address.host, address.port))
      // It cannot be had again, so it is said to those who want silence too.
      if (settings.config.observe.log.level === 'silent') printMessage(lines.join('\n'))
      else say('info', lines)
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (settings.config.identity.mode === 'open') {
      say('warn', [`nothing is kept, neither keys nor usage: ${message}`])
      return
    }
    say('error', [`cannot open the store: ${message}`])
    await app.close(0)
    process.exit(exitCodes.failure)
  }
}

/** Whether the process has a terminal to lose: a service or `nohup` has none. Asked early, a lost one is none any more. */
function hasTerminal(): boolean {
  return isatty(0) || isatty(2)
}

function isTerminalGone(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    return true
  }
}

/** Of several workers one says what holds for all. */
function speaksForAll(channel: WorkerChannel | null): boolean {
  return channel === null || channel.place.index === 0
}

/** What reads the configuration anew and applies it, or says why not. */
function reloading({ app, say, inForce, channel }: Serving, options: ConfigOptions): () => void {
  const report = (result: ReloadResult): void => {
    if (result.kind !== 'applied') {
      const problems = result.problems.map((problem) => problemText(problem))
      app.noteRefused(problems)
      for (const problem of problems) app.observer.configLoaded(problem)
    } else if (speaksForAll(channel)) say('info', reloadLines(result))
  }
  const apply = async ({ config, ...sources }: Settings): Promise<void> => {
    await app.reload(ownConfig(config, channel), sources)
    inForce.config = config
  }
  const reload = createReloader({ current: inForce.config, load: () => tryLoad(options), apply, report })
  return () => {
    // A rotation of the log does not wait for a valid configuration.
    app.observer.reopenLog()
    void reload()
  }
}

/** SIGHUP means "read your configuration", and also "your terminal was closed": then it ends as with SIGTERM. */
function onHangup(reload: () => void): void {
  const onTerminal = hasTerminal()
  process.on('SIGHUP', () => {
    if (onTerminal && isTerminalGone()) process.emit('SIGTERM', 'SIGTERM')
    else reload()
  })
}

async function drain({ app, say, inForce, settings, channel }: Serving, signal: NodeJS.Signals): Promise<ExitCode> {
  const { drainMs } = inForce.config.http
  const { drainDelayMs } = settings.config.http
  const first = drainDelayMs === 0 ? 'no new requests' : `not ready any more, no new requests in ${formatDuration(drainDelayMs)}`
  if (speaksForAll(channel))
    say('info', [`${signal}: ${first}, running ones have ${formatDuration(drainMs)} to end; once more to stop at once`])
  try {
    await app.close(drainMs)
    return exitCodes.ok
  } catch (error) {
    say('error', [`stopping failed: ${error instanceof Error ? error.message : String(error)}`])
    return exitCodes.failure
  }
}

/** Resolves with the exit code when the process has to end. */
function untilStopped(serving: Serving, reload: () => void): Promise<ExitCode> {
  return new Promise((resolve) => {
    let isDraining = false
    const stop = (signal: NodeJS.Signals): void => {
      if (!isDraining) void drain(serving, signal).then(resolve)
      // A worker is told once by its watcher and perhaps by a signal of its own; ending at once is the watcher's business.
      else if (serving.channel === null) resolve(exitCodes.interrupted)
      isDraining = true
    }
    const { channel } = serving
    if (channel === null) {
      process.on('SIGINT', stop)
      process.on('SIGTERM', stop)
      onHangup(reload)
    } else channel.follow({ stop: () => stop('SIGTERM'), reload })
  })
}

/** The workers do the serving: this process watches them. */
async function watch(settings: Settings): Promise<never> {
  const { watchWorkers } = await import('./workers.ts')
  const { config } = settings
  const say = speaker({ config })
  process.exit(await watchWorkers(config.http.workers, (level, text) => say(level, [text])))
}

/** Serves until a signal ends it, then ends the process. */
export async function serveCommand(options: ConfigOptions): Promise<never> {
  goOnWithoutReaders()
  const settings = await settingsOf(options)
  const channel = await joinWorkers()
  if (settings.config.http.workers > 1 && channel === null) return watch(settings)
  try {
    return await serveHere(settings, { options, channel })
  } finally {
    channel?.leave()
  }
}

async function serveHere(
  settings: Settings,
  { options, channel }: { readonly options: ConfigOptions; readonly channel: WorkerChannel | null },
): Promise<never> {
  const { config } = settings
  const { app, trouble } = await createServedApp(settings, channel)
  channel?.open((question) => app.answerPeer(question))
  await app.followPeers()
  releaseStartMemory()
  let address: Address
  try {
    address = await app.listen()
  } catch (error) {
    await app.close(0).catch(() => {})
    throw bindError(error, config.http)
  }
  const inForce: InForce = { config }
  const serving: Serving = { app, say: speaker(inForce), settings, address, inForce, channel }
  // A crash still ends the process, with the last lines of the log written.
  process.on('uncaughtExceptionMonitor', () => app.observer.flushSync())
  const ended = untilStopped(serving, reloading(serving, options))
  if (trouble !== null) serving.say('warn', [trouble])
  if (speaksForAll(channel)) {
    announceListening(serving)
    void announceNodes(serving)
  }
  void openStores(serving)
  const exitCode = await ended
  app.observer.flushSync()
  process.exit(exitCode)
}
