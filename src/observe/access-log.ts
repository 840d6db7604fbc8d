/**
 * The access log: one JSON line per request at its true end, built by hand because it stands in every request's way. It says
 * who answered, how long it took and how it ended; prompts, answers and credentials never reach it.
 */
import type { Clock } from '../base/clock.ts'
import type { LineSink } from './line-sink.ts'
import type { OutcomeLabel } from './outcome.ts'

/** What one line says. Milliseconds and bytes; null where it does not apply. */
export interface AccessRecord {
  /** Own id: plain text. */
  readonly id: string
  readonly traceId: string | null
  readonly method: string
  /** Pattern of the route, not the path. */
  readonly route: string
  readonly status: number
  readonly outcome: OutcomeLabel
  /** Code of the failure that ended it. */
  readonly error: string | null
  readonly node: string | null
  readonly reason: string | null
  readonly attempts: number
  readonly model: string | null
  readonly stream: boolean
  readonly ttftMs: number | null
  readonly durationMs: number
  /** Null: not counted. */
  readonly bytes: number | null
  readonly inputTokens: number | null
  readonly outputTokens: number | null
}

/** Text that stands in a JSON string as it is: ASCII without quote, backslash and control characters. */
const plain = /^[ !#-[\]-~]*$/

/** A JSON string in ASCII. */
export function quote(text: string): string {
  if (plain.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(/[\x7f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Microsecond steps, without digits that mean nothing. Printed as two integers, because a fraction takes the slow way. */
function formatMs(valueMs: number): string {
  const us = Math.round(valueMs * 1_000)
  const ms = Math.floor(us / 1_000)
  const rest = us - ms * 1_000
  if (rest === 0) return String(ms)
  return `${ms}.${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}`
}

/** Times of day as ISO 8601; the part down to the second is kept for as long as it holds. */
export class IsoTime {
  #second = Number.NaN
  #prefix = ''

  format(wallMs: number): string {
    const second = Math.floor(wallMs / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#prefix = new Date(second * 1_000).toISOString().slice(0, 20)
    }
    const millisecond = Math.floor(wallMs - second * 1_000)
    const zeros = millisecond < 10 ? '00' : millisecond < 100 ? '0' : ''
    return `${this.#prefix}${zeros}${millisecond}Z`
  }
}

/** One line of the access log, newline included. Ids, methods, routes, node names and reasons are known words and need no escapes. */
export function accessLine(time: string, record: AccessRecord): string {
  let line = `{"time":"${time}","level":"info","msg":"request","id":"${record.id}"`
  if (record.traceId !== null) line += `,"trace":"${record.traceId}"`
  line += `,"method":"${record.method}","route":"${record.route}","status":${record.status},"outcome":"${record.outcome}"`
  if (record.error !== null) line += `,"error":"${record.error}"`
  if (record.node !== null) line += `,"node":"${record.node}"`
  if (record.reason !== null) line += `,"reason":"${record.reason}"`
  line += `,"attempts":${record.attempts}`
  if (record.model !== null) line += `,"model":${quote(record.model)}`
  line += `,"stream":${record.stream}`
  if (record.ttftMs !== null) line += `,"ttftMs":${formatMs(record.ttftMs)}`
  line += `,"durationMs":${formatMs(record.durationMs)}`
  if (record.bytes !== null) line += `,"bytes":${record.bytes}`
  if (record.inputTokens !== null) line += `,"inputTokens":${record.inputTokens}`
  if (record.outputTokens !== null) line += `,"outputTokens":${record.outputTokens}`
  return `${line}}\n`
}

export class AccessLog {
  readonly #sink: LineSink
  readonly #clock: Clock
  readonly #time = new IsoTime()
  /** Rewrites a line for people; null: it stays JSON. */
  readonly #format: ((line: string) => string) | null

  constructor(sink: LineSink, clock: Clock, format: ((line: string) => string) | null) {
    this.#sink = sink
    this.#clock = clock
    this.#format = format
  }

  write(record: AccessRecord): void {
    const line = accessLine(this.#time.format(this.#clock.wallMs()), record)
    if (this.#format === null) this.#sink.write(line, true)
    else this.#sink.write(this.#format(line))
  }
}
