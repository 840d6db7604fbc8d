/**
 * `corral serve`: load, listen, say so, and wait for signals. SIGINT and SIGTERM drain (a second one ends at once), SIGHUP
 * reloads. What cannot start ends with one sentence: 2 for a configuration, 1 for a port.
 */
import { systemClock } from '../base/clock.ts'
import { type Config, problemText } from '../config/index.ts'
import { createReloader, type ReloadResult, reloadLines } from '../config/reload.ts'
import { listeningLines, nodeLines, type NodeSight, noNodeText, urlOf } from './banner.ts'
import { CliError, exitCodes } from './exit-code.ts'
import { printMessage } from './output.ts'
import { type ConfigOptions, type Settings, settingsOf, tryLoad } from './settings.ts'
import { corralVersion } from './version.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/** The part of the application that serving needs. */
export interface ServedApp {
  listen(): Promise<Address>
  close(graceMs: number): Promise<void>
  reload(config: Config): Promise<void>
  readonly fleet: { readonly nodes: readonly NodeSight[] }
  /** Hears of a refused reload: it logs and counts it. */
  readonly observer: { configLoaded(error: string | null): void }
}

/** How long the banner waits for the first probes beyond their own deadline. */
const bannerExtraMs = 250
const bannerPollMs = 25

type Say = (level: 'info' | 'warn' | 'error', lines: readonly string[], fields?: Readonly<Record<string, unknown>>) => void

/** Text on a terminal or when asked for, JSON lines else. */
function saysText({ observe }: Config): boolean {
  const { format } = observe.log
  return format === 'pretty' || (format === 'auto' && process.stderr.isTTY)
}

function speaker(config: Config): Say {
  if (config.observe.log.level === 'silent') return () => {}
  const isText = saysText(config)
  return (level, lines, fields = {}) => {
    if (isText) {
      for (const line of lines) printMessage(line)
      return
    }
    const time = new Date(systemClock.wallMs()).toISOString()
    for (const msg of lines) printMessage(JSON.stringify({ level, time, ...fields, msg }))
  }
}

async function createServedApp(config: Config): Promise<ServedApp> {
  const { createApp } = await import('../app.ts')
  try {
    return createApp({ config, clock: systemClock, version: corralVersion, terminal: process.stdout.isTTY })
  } catch (error) {
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
  if (code === 'EACCES') return new CliError(exitCodes.failure, `${address} may not be bound by this user: choose a port over 1023 with --port`)
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

function announceListening(say: Say, settings: Settings, address: Address): void {
  const url = urlOf(address.host, address.port)
  say('info', saysText(settings.config) ? listeningLines(settings, address) : [`listening ${url}`], { host: address.host, port: address.port, config: settings.file })
}

async function announceNodes(say: Say, app: ServedApp, { config }: Settings, url: string): Promise<void> {
  await firstProbes(app, config.fleet.probe.timeoutMs + bannerExtraMs)
  const { nodes } = app.fleet
  const isReady = nodes.some((node) => node.up === true)
  if (saysText(config)) say('info', nodeLines(nodes, url))
  else if (!isReady) say('warn', [noNodeText])
}

/** Resolves with the exit code when the process has to end. */
function untilSignalled(app: ServedApp, say: Say, config: Config): Promise<number> {
  return new Promise((resolve) => {
    let draining = false
    const stop = (signal: NodeJS.Signals): void => {
      if (draining) {
        resolve(exitCodes.interrupted)
        return
      }
      draining = true
      const { drainMs } = config.http
      say('info', [`${signal}: no new requests, running ones have ${Math.round(drainMs / 1_000)} s to end; once more to stop at once`])
      app.close(drainMs).then(
        () => resolve(exitCodes.ok),
        (error: unknown) => {
          say('error', [`stopping failed: ${error instanceof Error ? error.message : String(error)}`])
          resolve(exitCodes.failure)
        },
      )
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })
}

function reloadOnHangup(app: ServedApp, say: Say, options: ConfigOptions, current: Config): void {
  const report = (result: ReloadResult): void => {
    if (result.kind === 'applied') say('info', reloadLines(result))
    else for (const problem of result.problems) app.observer.configLoaded(problemText(problem))
  }
  const reload = createReloader({ current, load: () => tryLoad(options), apply: (config) => app.reload(config), report })
  process.on('SIGHUP', () => void reload())
}

/** Serves until a signal ends it, then ends the process. */
export async function serveCommand(options: ConfigOptions): Promise<never> {
  const settings = await settingsOf(options)
  const { config } = settings
  const say = speaker(config)
  const app = await createServedApp(config)
  const ended = untilSignalled(app, say, config)
  let address: Address
  try {
    address = await app.listen()
  } catch (error) {
    await app.close(0).catch(() => {})
    throw bindError(error, config.http)
  }
  reloadOnHangup(app, say, options, config)
  announceListening(say, settings, address)
  void announceNodes(say, app, settings, urlOf(address.host, address.port))
  process.exit(await ended)
}
