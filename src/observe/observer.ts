/**
 * What the gateway reports of itself: one function per business event, each of which updates metrics, writes a log line, or
 * both. The fleet's event interfaces are met by shape, because this folder is below the fleet and may not know it.
 */
import { dispatchEvents } from './dispatch-events.ts'
import { createEventContext, type EventContext, type ObserverDeps } from './event-context.ts'
import type { Observer } from './events.ts'
import { nodeEvents } from './node-events.ts'
import { requestEvents } from './request-events.ts'

export type { ObserverDeps } from './event-context.ts'
export type { Observer } from './events.ts'

const budgetsApartText =
  'another gateway uses the same Redis, but this one keeps usage in an embedded store of its own: budgets of GPU seconds miss what the ' +
  'others wrote; give all gateways the same DATABASE_URL'

/** The observer of the process. Throws only here: when the log file cannot be opened. */
export function createObserver(deps: ObserverDeps): Observer {
  const context = createEventContext(deps)
  return {
    ...requestEvents(context),
    ...dispatchEvents(context),
    ...nodeEvents(context),
    ...processEvents(context),
    ...stateEvents(context),
  }
}

function processEvents({ metrics, logs, quiet }: EventContext) {
  const { logger, sink } = logs
  const { authentications, limited, usageDropped, memoryLevel, memoryRefused } = metrics.families
  memoryLevel.child()
  for (const dimension of ['requests', 'tokens', 'concurrency', 'gpu']) {
    for (const scope of ['tenant', 'credential', 'class']) limited.at(dimension, scope)
  }
  for (const method of ['key', 'jwt', 'signature']) {
    for (const result of ['granted', 'undecided']) authentications.at(method, result)
  }
  return {
    logger,
    metrics,
    decided: quiet((...[method, result]: Parameters<Observer['decided']>) => {
      authentications.at(method, result).value += 1
    }),
    limited: quiet((...[dimension, scope]: Parameters<Observer['limited']>) => {
      limited.at(dimension, scope).value += 1
    }),
    usageTrouble: quiet((error: unknown, dropped: number) => {
      usageDropped.child().value += dropped
      logger.warn({ err: error, dropped }, dropped > 0 ? 'usage was lost' : 'usage could not be written, it is tried again')
    }),
    budgetsApart: quiet(() => logger.warn(budgetsApartText)),
    spansTrouble: quiet((reason: string | null) => {
      if (reason === null) logger.info('the collector takes spans again')
      else logger.warn({ reason }, 'spans could not be delivered; they are tried again, then dropped and counted')
    }),
    upkeepFailed: quiet((what: string, reason: string) => {
      logger.warn({ what, reason }, 'upkeep failed, it is tried again')
    }),
    parserHeld: quiet((tools: readonly string[]) => {
      if (tools.includes('unshare')) logger.info({ tools }, 'documents are read without a network')
      else logger.warn({ tools }, 'only Node keeps the reader of documents off the network: unshare does not work here')
    }),
    memoryStepChanged: quiet((...[step, level, { used, limit }]: Parameters<Observer['memoryStepChanged']>) => {
      memoryLevel.child().value = level
      const fields = { step, usedBytes: used, limitBytes: limit }
      if (level === 0) logger.info(fields, 'memory suffices again')
      else logger.warn(fields, 'short of memory')
    }),
    memoryRefused: quiet((step: string) => {
      memoryRefused.at(step).value += 1
    }),
    reopenLog: quiet(() => sink.reopen()),
    flush: () => sink.flush(),
    flushSync: quiet(() => sink.flushSync()),
  }
}

/** What the process says of itself: the configuration in force, and whether somebody reads its metrics. */
function stateEvents({ deps, metrics, logs: { logger }, quiet }: EventContext) {
  const { configInfo, configOk, configAt, lastScrape } = metrics.families
  return {
    configLoaded: quiet((error: string | null, hash?: string) => {
      if (hash !== undefined) {
        configInfo.clear()
        configInfo.child(hash).value = 1
      }
      configOk.child().value = error === null ? 1 : 0
      if (error === null) configAt.child().value = deps.clock.wallMs() / 1_000
      const { level } = deps.options().log
      if (logger.level !== level) logger.level = level
      if (error !== null) logger.error({ error }, 'configuration refused, the previous one stays in force')
    }),
    scraped: quiet(() => {
      lastScrape.child().value = deps.clock.wallMs() / 1_000
    }),
  }
}
