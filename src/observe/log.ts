/**
 * The operational log: what happened to the gateway and its nodes, structured, one line each. Pino builds the lines; they
 * share the bounded sink of the access log, so their order is kept and nobody waits for a pipe.
 */
import { pino, type Logger as PinoLogger } from 'pino'

import type { Clock } from '../base/clock.ts'
import { AccessLog } from './access-log.ts'
import { createLineSink, type LineSink } from './line-sink.ts'
import type { ObserveOptions } from './options.ts'
import { prettyLine } from './pretty-line.ts'

export type Logger = PinoLogger

export interface Logs {
  readonly logger: Logger
  readonly access: AccessLog
  readonly sink: LineSink
}

export interface LogDeps {
  readonly options: ObserveOptions['log']
  readonly clock: Clock
  /** Whether the standard output is a terminal. */
  readonly terminal: boolean
  /** Receives the lines instead of the file or the standard output. */
  readonly sink?: LineSink
}

/** Fields that may hold a credential, wherever a caller puts them. */
const secretPaths = ['authorization', 'cookie', '*.authorization', '*.cookie', 'headers', '*.headers']

/** Opens the logs. Throws when the log file cannot be opened. */
export function createLogs({ options, clock, terminal, sink: given }: LogDeps): Logs {
  const sink = given ?? createLineSink({ file: options.file ?? null, clock })
  const pretty = options.format === 'pretty' || (options.format === 'auto' && terminal && options.file === undefined)
  const format = pretty ? prettyLine : null
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date(clock.wallMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretPaths, censor: '[redacted]' },
    },
    { write: (line) => sink.write(format === null ? line : format(line)) },
  )
  return { logger, access: new AccessLog(sink, clock, format), sink }
}
